"""The fixtures of the integration tests: a real backend and a client of it."""

from tests.integration.conftest import backend, client, own_backend, proxy, token

__all__ = ["backend", "client", "own_backend", "proxy", "token"]
