"""A real Valkey cluster on loopback: three primaries, each with a replica."""

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from devtools.ports import LOOPBACK, Ports
from devtools.servers.server import Place
from devtools.servers.valkey import ValkeyServer

PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""A dead primary is replaced in about twice this."""
SETTLED_S = 30.0


class ClusterNode(ValkeyServer):
    """One node; see ``ValkeyCluster``."""

    def __init__(self, place: Place, *, port: int, bus_port: int, password: str) -> None:
        super().__init__(place, port=port, password=password)
        self.bus_port = bus_port
        self.client: redis.Redis = redis.Redis(
            host=LOOPBACK, port=port, password=password, socket_timeout=2.0, decode_responses=True
        )
        self._secret = password

    def more_config(self) -> Sequence[str]:
        """See ``ValkeyServer``."""
        return (
            "cluster-enabled yes",
            f"cluster-port {self.bus_port}",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            "cluster-require-full-coverage no",
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
            f"primaryauth {self._secret}",
        )

    def cluster(self, *words: Any) -> Any:
        """Run a CLUSTER command."""
        return self.client.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]

    @property
    def is_settled(self) -> bool:
        """Whether it sees the whole cluster, every primary with its slots."""
        told: dict[str, str] = _pairs(self.cluster("INFO"))
        return (
            told["cluster_state"] == "ok"
            and int(told["cluster_slots_ok"]) == SLOTS
            and int(told["cluster_known_nodes"]) == 2 * PRIMARIES
        )

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes."""
        return bool(self.client.info("replication")["role"] == "master")


class ValkeyCluster:
    """``with ValkeyCluster(...) as cluster``: it is whole."""

    def __init__(self, folder: Path, ports: Ports, place_in: Callable[[Path], Place]) -> None:
        password = secrets.token_urlsafe(24)
        self.nodes = [
            ClusterNode(
                place_in(folder / str(number)),
                port=ports.free(),
                bus_port=ports.free(),
                password=password,
            )
            for number in range(2 * PRIMARIES)
        ]

    @property
    def url(self) -> str:
        """The address of one of its nodes that runs."""
        return next(node.url for node in self.nodes if node.is_running)

    @property
    def env(self) -> dict[str, str]:
        """What our programs read."""
        return {"REDIS_URL": self.url, "VOICE_HOT_CACHE__CLUSTER": "true"}

    def holder_of(self, key: str) -> ClusterNode:
        """The primary that has ``key``."""
        living = [node for node in self.nodes if node.is_running]
        slot = int(living[0].cluster("KEYSLOT", key))
        for node in living:
            if node.is_primary and _has(node, slot):
                return node
        raise AssertionError(f"nobody has slot {slot}")

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        for node in self.nodes[1:]:
            node.cluster("MEET", LOOPBACK, first.port, first.bus_port)
        share = SLOTS // PRIMARIES + 1
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            last = min(SLOTS, (number + 1) * share) - 1
            node.cluster("ADDSLOTSRANGE", number * share, last)
        self._wait(lambda: all(node.is_settled for node in self.nodes))
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            replica.cluster("REPLICATE", primary.cluster("MYID"))
        self._wait(lambda: all(node.is_settled and _is_linked(node) for node in self.nodes))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.client.close()
            node.kill9()  # there is nothing to save

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLED_S
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError("the cluster did not settle")
            time.sleep(0.05)


def _is_linked(node: ClusterNode) -> bool:
    told: dict[str, Any] = node.client.info("replication")
    if told["role"] == "master":
        return int(told["connected_slaves"]) == 1
    return bool(told["master_link_status"] == "up")


def _has(node: ClusterNode, slot: int) -> bool:
    mine = node.cluster("MYID")
    return any(
        first <= slot <= last and nodes[0][2] == mine
        for first, last, *nodes in node.cluster("SLOTS")
    )


def _pairs(told: Any) -> dict[str, str]:
    if isinstance(told, dict):
        return told
    return dict(line.split(":", 1) for line in str(told).split("\r\n") if ":" in line)
