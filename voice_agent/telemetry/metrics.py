"""Metrics that are right across job processes.

A job sends each observation to its worker as a datagram on a Unix socket; the worker applies it to
ordinary prometheus_client metrics and serves those. A job that is killed takes no figure with it,
and no file per dead process stays behind (prometheus_client's own multi-process mode keeps one for
ever: docs/adr/0007). What is lost when it fails: figures, never a conversation.
"""

import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from voice_agent.aio.soon import Soon

log = logging.getLogger(__name__)

DATAGRAM_BYTES = 65_536
TOGETHER_MAX = 200
"""Figures in a datagram: some 100 bytes each, well below its limit."""
SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)

Kind = Literal["counter", "histogram", "short"]

SERIES: Mapping[str, tuple[Kind, str, tuple[str, ...]]] = {
    "voice_events_recorded": ("counter", "Events recorded, by kind.", ("kind",)),
    "voice_turns": ("counter", "Turns ended, by outcome.", ("outcome",)),
    "voice_turn_delay_seconds": ("histogram", "Delay of a turn, by stage.", ("stage",)),
    "voice_handler_seconds": ("short", "Time in our own handlers.", ("handler",)),
    "voice_turn_overhead_seconds": ("short", "Time in our own handlers, all of a turn.", ()),
    "voice_hydrate_seconds": ("histogram", "Reading a conversation back.", ("source",)),
    "voice_reply_secured_seconds": (
        "short",
        "Wait of a reply for VOICE_OUTBOX__DURABILITY; late = spoken without it.",
        ("outcome",),
    ),
    "voice_degraded": ("counter", "Calls that went on without a layer.", ("layer",)),
    "voice_reconnects": ("counter", "Model sessions renewed.", ("provider", "outcome")),
    "voice_reconnect_seconds": ("histogram", "From the loss to being told all.", ("provider",)),
    "voice_reconnect_tokens_spared": ("counter", "Tokens not replayed.", ("provider",)),
    "voice_calls_started": ("counter", "Calls begun, by how they opened.", ("opening",)),
    "voice_calls_ended": ("counter", "Calls ended by themselves.", ("reason",)),
    "voice_errors": ("counter", "Errors in a call, by source.", ("source", "recoverable")),
}
"""Every series that a job may feed. Later issues add rows, not machinery."""


class Observation(msgspec.Struct, frozen=True, array_like=True):
    """One figure on its way from a job to its worker."""

    name: str
    value: float
    labels: list[str]


class JobMetrics:
    """The sending side, in a job process. Never waits, never raises.

    What comes together goes together: a datagram for each figure was a third of the time that an
    event of a call takes.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._waiting: list[Observation] = []
        self._soon = Soon(self._send)

    def observe(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Send one figure; dropped when the worker does not keep up."""
        self._waiting.append(Observation(name, value, list(labels)))
        self._soon.ask()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), TOGETHER_MAX):
            data = msgspec.json.encode(waiting[first : first + TOGETHER_MAX])
            with suppress(OSError):
                self._socket.sendto(data, self._path)

    def close(self) -> None:
        """Send what waits, and close the socket."""
        self._send()
        self._socket.close()


class WorkerMetrics:
    """The receiving side, in the worker's main process."""

    def __init__(self, path: Path, registry: CollectorRegistry = REGISTRY) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(str(path))
        self._series: dict[str, Any] = {
            name: _series(kind, name, text, labels, registry)
            for name, (kind, text, labels) in SERIES.items()
        }
        self.rooms = Gauge("voice_rooms", "Calls running.", registry=registry)

    def fileno(self) -> int:
        """For the event loop's ``add_reader``."""
        return self._socket.fileno()

    def receive(self) -> None:
        """Apply everything that has arrived. Unknown series and garbage are dropped."""
        with suppress(BlockingIOError):
            while True:
                self._apply(self._socket.recv(DATAGRAM_BYTES))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _apply(self, data: bytes) -> None:
        try:
            together = msgspec.json.decode(data, type=list[Observation])
        except msgspec.MsgspecError:
            log.debug("metric dropped")
            return
        for seen in together:
            self._count(seen)

    def _count(self, seen: Observation) -> None:
        try:
            series = self._series[seen.name]
            series = series.labels(*seen.labels) if seen.labels else series
        except (KeyError, ValueError):
            log.debug("metric dropped")
            return
        if isinstance(series, Counter):
            series.inc(seen.value)
        else:
            series.observe(seen.value)


def _series(
    kind: Kind, name: str, text: str, labels: tuple[str, ...], registry: CollectorRegistry
) -> Counter | Histogram:
    if kind == "counter":
        return Counter(name, text, labels, registry=registry)
    buckets = SHORT if kind == "short" else SECONDS
    return Histogram(name, text, labels, buckets=buckets, registry=registry)
