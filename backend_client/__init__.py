"""The backend API as the agent sees it: one method per endpoint, domain types in and out.

Parts: transport (httpx over aiohttp), wire (bodies and answers), errors (foreign to ours), client.
While it is down nothing is lost: the outbox keeps what the relay could not deliver.
"""

from backend_client.client import BackendClient
from backend_client.transport import backend_http

__all__ = ["BackendClient", "backend_http"]
