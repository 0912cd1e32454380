"""The stand-in itself: listens, keeps handles, and cuts where it was told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from google.genai.types import HttpOptions
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from simulators.gemini.behaviour import Behaviour
from simulators.gemini.certificate import contexts
from simulators.gemini.connection import OUTPUT_BYTES_PER_WORD, Connection
from simulators.gemini.conversation import Conversation
from simulators.gemini.mind import Echo, Mind

Voice = Callable[[str], AsyncIterator[tuple[str, bytes]]]
Ears = Callable[[Connection, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a handle stands for: a copy that nothing later changes."""

    session_id: str
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Passed:
    """A message that went over the wire."""

    way: Literal["in", "out"]
    kind: str


async def silent_voice(text: str) -> AsyncIterator[tuple[str, bytes]]:
    """Words with a little silence each: for tests, where nobody listens."""
    for word in text.split():
        yield word, bytes(OUTPUT_BYTES_PER_WORD)


@dataclass
class GeminiServer:
    """A Gemini Live of one's own. Tests read ``conversation`` and write ``behaviour``."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    mind: Mind = field(default_factory=Echo)
    voice: Voice = silent_voice
    ears: Ears | None = None
    tls: tuple[ssl.SSLContext, ssl.SSLContext] = field(default_factory=contexts)

    def __post_init__(self) -> None:
        self.connections: list[Connection] = []
        self.set_ups: list[Any] = []
        self.frozen: dict[str, Frozen] = {}
        self.passed: list[Passed] = []
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.port = 0
        self._handle_count = 0

    @asynccontextmanager
    async def serving(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[None]:
        """Listen for the length of an ``async with`` block; port 0 takes a free one."""
        async with serve(
            self._serve, host, port, ssl=self.tls[0], process_request=self._greet,
            max_size=None, close_timeout=1.0,
        ) as listening:  # fmt: skip
            self.port = next(iter(listening.sockets)).getsockname()[1]
            yield
            for one in self.connections:
                one.cut()

    @property
    def url(self) -> str:
        """What ``HttpOptions.base_url`` is given."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def http_options(self) -> HttpOptions:
        """What google-genai is given to reach this server."""
        return HttpOptions(base_url=self.url, async_client_args={"ssl": self.tls[1]})

    @property
    def now(self) -> Connection:
        """The connection that came last."""
        return self.connections[-1]

    @property
    def conversation(self) -> Conversation:
        """What the newest session believes was said."""
        return self.now.conversation if self.connections else Conversation()

    @property
    def is_connected(self) -> bool:
        """Whether somebody is connected and set up."""
        return bool(self.connections) and self.now.is_open

    @property
    def hears(self) -> bool:
        """Whether sound is listened to, rather than read (``spoken``)."""
        return self.ears is not None

    async def listen(self, connection: Connection, pcm: bytes) -> None:
        """Let the ears have some sound."""
        if self.ears is not None:
            await self.ears(connection, pcm)

    def freeze(self, connection: Connection) -> str:
        """Make a handle of a session as it is at this moment."""
        self._handle_count += 1
        handle = f"handle-{self._handle_count}"
        self.frozen[handle] = Frozen(connection.session_id, connection.conversation.copy())
        return handle

    def is_in_use(self, session_id: str) -> bool:
        """Whether a connection of this session is still open."""
        return any(one.is_open and one.session_id == session_id for one in self.connections)

    async def boundary(
        self, connection: Connection, way: Literal["in", "out"], message: dict[str, Any]
    ) -> bool:
        """Count a message; cut the connection here if told to. Says whether it is lost."""
        self.passed.append(Passed(way, next(iter(message))))
        for one in [one for one in self.behaviour.go_aways if one.at == len(self.passed)]:
            self.behaviour.go_aways.remove(one)
            asyncio.get_running_loop().call_soon(connection.will_go, one.left_s)
        for n, drop in enumerate(self.behaviour.drops):
            if drop.meets(len(self.passed), message):
                del self.behaviour.drops[n]
                if drop.lost:
                    connection.cut()
                    return True
                asyncio.get_running_loop().call_later(0.01, connection.cut)
                return False
        return False

    @staticmethod
    def is_cut(connection: Connection) -> bool:
        """Whether a connection was ended from here."""
        return not connection.is_open

    async def _serve(self, socket: ServerConnection) -> None:
        connection = Connection(self, socket)
        self.connections.append(connection)
        await connection.serve()

    async def _greet(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.behaviour.unreachable > 0:
            self.behaviour.unreachable -= 1
            socket.transport.abort()
            return Response(503, "unavailable", Headers())
        return None
