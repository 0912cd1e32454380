"""The relay process: what ``agent.py relay`` is made of. Imports nothing of LiveKit (35 MB)."""

import asyncio
import logging
import os
import signal
import sys

from prometheus_client import Counter, Gauge, start_http_server
from pythonjsonlogger.json import JsonFormatter

from backend_client import BackendClient, backend_http
from config.settings import Settings, SettingsError, load
from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock, SystemClock
from voice_agent.aio.supervisor import Jobs, supervised
from voice_agent.bootstrap import relay_commands
from voice_agent.bootstrap.hot import hot_tier
from voice_agent.state.folder import AnotherRelay, FolderLock, ask_to_yield, only_relay_of
from voice_agent.state.relay import Relay, RelaySettings

log = logging.getLogger("voice_agent.relay")

ANOTHER_RELAY = 3
"""Exit code: the folder has a relay already."""
BAD_SETTINGS = 2
ORPHAN_LOOK_S = 1.0


class RelayMetrics:
    """Figures of the relay, on its own port."""

    def __init__(self) -> None:
        self._delivered = Counter("voice_relay_delivered", "Events acknowledged by the backend.")
        self._retries = Counter("voice_relay_retries", "Deliveries tried again.", ["error_type"])
        self._aside = Counter("voice_relay_set_aside", "Records or files set aside.", ["kind"])
        self._files = Gauge("voice_relay_outboxes", "Outbox files that are not settled.")
        self._pending = Gauge("voice_relay_pending", "Events read and not acknowledged.")

    def delivered(self, count: int) -> None:
        """Count acknowledged events."""
        self._delivered.inc(count)

    def retried(self, error_type: str) -> None:
        """Count a delivery that must be repeated."""
        self._retries.labels(error_type).inc()

    def set_aside(self, kind: str) -> None:
        """Count what a person has to look at."""
        self._aside.labels(kind).inc()

    def backlog(self, files: int, events: int) -> None:
        """Say how much is on its way."""
        self._files.set(files)
        self._pending.set(events)


def main(argv: list[str]) -> int:
    """Run the relay until SIGTERM, or until its worker is gone and everything is delivered.

    With words behind it: look at what was set aside (``relay_commands``).
    """
    try:
        settings = load()
    except SettingsError as exc:
        sys.stderr.write(f"relay: {exc}\n")
        return BAD_SETTINGS
    os.umask(0o077)  # what is quarantined or dead-lettered is what callers said
    if argv:
        return relay_commands.run(settings.outbox.folder, argv)
    _log_to_stderr(settings)
    if not settings.backend_url or not settings.backend_token:
        sys.stderr.write("relay: BACKEND_URL is not set: there is nowhere to deliver to\n")
        return BAD_SETTINGS
    try:
        with only_relay_of(settings.outbox.folder) as lock:
            asyncio.run(_run(settings, lock))
    except AnotherRelay:
        ask_to_yield(settings.outbox.folder)
        log.info("another relay serves this outbox folder", extra={"layer": "outbox"})
        return ANOTHER_RELAY
    except OSError as exc:
        sys.stderr.write(f"relay: {settings.outbox.folder}: {exc.strerror}\n")
        return 1
    return 0


async def _run(settings: Settings, lock: FolderLock) -> None:
    assert settings.backend_url is not None
    assert settings.backend_token is not None
    clock = SystemClock()
    _serve_metrics(settings)
    async with backend_http(
        url=settings.backend_url,
        token=settings.backend_token.get_secret_value(),
        timeout_s=settings.client.timeout_s,
    ) as http:
        hot = hot_tier(settings, clock=clock)
        relay = Relay(
            RelaySettings(folder=settings.outbox.folder, drain_s=settings.relay.drain_s),
            backend=BackendClient(http, timeout_s=settings.client.timeout_s),
            hot=hot,
            clock=clock,
            events=RelayMetrics(),
            lock=lock,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, relay.stop)
        usurped = await _run_watched(relay, clock)
    if usurped is not None:
        raise usurped
    outcome = "drained" if relay.is_drained else "left"
    log.info("relay ended", extra={"op": "stop", "outcome": outcome})


async def _run_watched(relay: Relay, clock: Clock) -> AnotherRelay | None:
    """Run it, with an eye on its worker; answer with the relay that took its folder, if one did."""
    parent = os.getppid()
    async with supervised(clock=clock, backoff=Backoff(), drain_s=0.0) as jobs:
        jobs.start_watch("orphan-watch", lambda: _stop_when_orphaned(relay, jobs, parent))
        log.info("relay started", extra={"op": "start"})
        try:
            await relay.run()
        except AnotherRelay as exc:
            return exc
    return None


async def _stop_when_orphaned(relay: Relay, jobs: Jobs, parent: int) -> None:
    """The worker is gone (kill -9): deliver everything that is left, then end.

    Should that never come to an end (the token was changed, say) a new worker's relay takes over.
    """
    while not await jobs.stopped(within_s=ORPHAN_LOOK_S):
        if os.getppid() != parent and (relay.is_drained or relay.is_asked_to_yield):
            relay.stop()
            return


def _serve_metrics(settings: Settings) -> None:
    port = settings.relay.metrics_port
    if not port:
        return
    try:
        start_http_server(port, addr=settings.relay.host)
    except OSError as exc:
        log.error("relay metrics not served: set VOICE_RELAY__METRICS_PORT",
                  extra={"port": port, "error_type": type(exc).__name__})  # fmt: skip


def _log_to_stderr(settings: Settings) -> None:
    handler = logging.StreamHandler()
    if settings.log.format == "json":
        handler.setFormatter(
            JsonFormatter(
                "{message}{levelname}{name}",
                style="{",
                timestamp=True,
                rename_fields={"levelname": "level"},
            )
        )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log.level.upper())
