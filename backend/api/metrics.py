"""What the backend measures, for Prometheus, on a port of its own."""

from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.clock import monotonic_s
from backend.errors import StartRefused

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The series, in a registry of their own: two applications in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Histogram(
            "throughline_backend_request_seconds",
            "Time to answer, by route.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.events_accepted = Counter(
            "throughline_backend_events_accepted",
            "Events answered as stored, repeated ones included.",
            registry=self.registry,
        )
        self.dispatches = Counter(
            "throughline_backend_dispatches",
            "Attempts to bring an agent into a room, and what became of them.",
            ("outcome",),
            registry=self.registry,
        )
        self.calls_waiting = Gauge(
            "throughline_backend_calls_waiting",
            "Rooms looked at in the last pass without an agent.",
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> "MetricsServer":
        """Serve the series; raise StartRefused when the port is taken."""
        try:
            server, thread = start_http_server(port, addr=host, registry=self.registry)
        except OSError as exc:
            raise StartRefused(
                f"metrics port {port} on {host} cannot be used ({exc.strerror}):"
                " set VOICE_BACKEND__METRICS_PORT to a free one, or 0 for none"
            ) from exc
        return MetricsServer(server, thread)


class MetricsServer:
    """The thread that serves the series."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server = server
        self._thread = thread

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MeasuredApp:
    """Measures each request by its route, never by its path: paths are unbounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic_s()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, str(status)).observe(
                monotonic_s() - began
            )
