"""The HTTP server: uvicorn, which lets the live streams go before it waits for requests to end."""

import socket

import uvicorn
from fastapi import FastAPI

from backend.service.live import Live


def server_of(app: FastAPI, *, drain_s: float) -> uvicorn.Server:
    """Make the server of ``app``; at shutdown requests have ``drain_s`` seconds to end."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=round(drain_s) or 1,
    )
    return _Server(config, app.state.live)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would not end by themselves; then everything else."""
        self._live.end()
        await super().shutdown(sockets)
