"""The whole system: LiveKit, Valkey, backend with its database, worker; ended in order."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.gemini import GeminiStandIn
from devtools.servers.livekit import LiveKitConfig, LiveKitServer
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Cancelled, Place, Server
from devtools.servers.valkey import ValkeyServer
from devtools.servers.worker import Worker

AGENT_NAME = "VOICE_AGENT_NAME"
DEFAULT_AGENT_NAME = "throughline"
PAGE_TOKEN_S = 12 * 3600
"""A page left open over a working day still works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a system is made of.

    Args:
        worker_ports: health, metrics, the relay's metrics.
        worker_environ: what the worker alone is started with.
        token: an admin token that the database knows already.
        postgres_port: the backend stores in a PostgreSQL there; None: in SQLite.
        gemini_port: the worker uses a stand-in for Gemini Live there; None: what it is told.
    """

    place: Place
    livekit: LiveKitConfig
    valkey_port: int
    backend_ports: tuple[int, int]
    worker_ports: tuple[int, int, int]
    worker_environ: Mapping[str, str] = field(default_factory=dict)
    redis_password: str | None = None
    token: str | None = None
    postgres_port: int | None = None
    gemini_port: int | None = None

    @classmethod
    def on_free_ports(
        cls,
        place: Place,
        *,
        departure_timeout_s: int = 20,
        worker_environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a plan beside which any number of others may run."""
        ports = Ports()
        return cls(
            place=place,
            livekit=LiveKitConfig.on_free_ports(ports, departure_timeout_s=departure_timeout_s),
            valkey_port=ports.free(),
            backend_ports=(ports.free(), ports.free()),
            worker_ports=(ports.free(), ports.free(), ports.free()),
            worker_environ=worker_environ or {},
        )


class System:
    """The servers of one plan, as a context manager or by ``start`` and ``stop``."""

    def __init__(self, plan: Plan) -> None:
        place = plan.place
        self.place = place
        self.livekit = LiveKitServer(place, config=plan.livekit)
        self.valkey = ValkeyServer(place, port=plan.valkey_port, password=plan.redis_password)
        port, metrics_port = plan.backend_ports
        self.postgres = (
            PostgresServer(place, port=plan.postgres_port) if plan.postgres_port else None
        )
        self.backend = Backend(
            place,
            port=port,
            metrics_port=metrics_port,
            uses=[self.livekit],
            postgres=self.postgres,
        )
        if plan.token is not None:
            self.backend.use_token(plan.token)
        self.gemini = GeminiStandIn(place, port=plan.gemini_port) if plan.gemini_port else None
        chosen = self.gemini.worker_environ if self.gemini is not None else {}
        self.worker = Worker(
            place.with_environ({**plan.worker_environ, **chosen}),
            ports=plan.worker_ports,
            uses=[self.livekit, self.valkey, self.backend],
        )

    @property
    def servers(self) -> tuple[Server, ...]:
        """All of them, in the order in which they end."""
        chosen = [one for one in (self.gemini, self.postgres) if one is not None]
        return (self.worker, self.backend, *chosen, self.valkey, self.livekit)

    @property
    def env(self) -> dict[str, str]:
        """What any client needs: the names of ``.run/env``."""
        named = {name: value for one in reversed(self.servers) for name, value in one.env.items()}
        agent_name = self.place.environ.get(AGENT_NAME, DEFAULT_AGENT_NAME)
        more = {AGENT_NAME: agent_name, "BACKEND_METRICS_URL": self.backend.metrics_url}
        return {**named, **more}

    @property
    def page_url(self) -> str:
        """The page's address, with a new token of scope call.

        It is in the fragment, which browsers send to no server.
        """
        token = self.backend.create_token("call", ttl_s=PAGE_TOKEN_S)
        return f"{self.backend.url}/#token={token}"

    def start(self) -> None:
        """Start all.

        Raises:
            DevError: which one cannot start, and why. The others may run: ``stop`` ends them.
        """
        self._at_once(self.livekit.start, self.valkey.start, self._prepare_backend)
        self._at_once(self.backend.start, self._start_worker)

    def _start_worker(self) -> None:
        if self.gemini is not None:
            self.gemini.start()
        self.worker.start()

    def _prepare_backend(self) -> None:
        if self.postgres is not None:
            self.postgres.start()
        _ = self.backend.token  # made by a process that needs the database and nothing else

    def _at_once(self, *calls: Callable[[], object]) -> None:
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(call) for call in calls]
            try:
                for future in futures:
                    future.add_done_callback(
                        lambda done: self.cancel() if done.exception() is not None else None
                    )
                errors = [error for future in futures if (error := future.exception()) is not None]
            except BaseException:
                self.cancel()
                raise
        causes = [error for error in errors if not isinstance(error, Cancelled)]
        for error in causes or errors:
            raise error

    def cancel(self) -> None:
        """Make a ``start`` in another thread give up."""
        for server in self.servers:
            server.cancelled.set()

    def stop(self) -> None:
        """End all: the worker first, whose relay delivers to the backend what is left."""
        for server in self.servers:
            server.stop()

    def kill_all(self) -> None:
        """Kill everything at once. What was not delivered stays in the outbox."""
        for server in self.servers:
            server.kill_all()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
