"""The storage ports on SQLite: each method hands one function to the right thread."""

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

from backend.errors import StartRefused
from backend.rules.retention import Keep
from backend.storage import rows
from backend.storage.migrations import Migration
from backend.storage.ports import Tell
from backend.storage.records import (
    AgentLife,
    Batch,
    Call,
    Change,
    Cleared,
    Conversation,
    ConversationUsage,
    EventFilter,
    Expected,
    Fork,
    Heartbeat,
    Hit,
    NewWriter,
    Profile,
    Reader,
    Registration,
    SilentWriter,
    Standing,
    Stored,
    Token,
    WriterEnd,
)
from backend.storage.sqlite import (
    calls,
    conversations,
    copies,
    ingest,
    profiles,
    reading,
    retention,
    search,
    tokens,
    usage,
    writers,
)
from backend.storage.sqlite.engine import Engine
from backend.storage.sqlite.migrate import migrate
from backend.storage.sqlite.rows import head

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStorage:
    """One SQLite file. See ``storage/ports.py`` for what each method promises."""

    def __init__(self, path: Path) -> None:
        self._engine = Engine(path)
        self._tells: list[Tell] = []
        self.migrated: list[Migration] = []

    async def open(self) -> None:
        """Open and migrate."""
        self.migrated = cast("list[Migration]", await self._engine.open(migrate))

    async def close(self) -> None:
        """Finish what was begun, then close."""
        await self._engine.close()

    async def ping(self) -> None:
        """Raise Unavailable unless a write would be possible now."""
        await self._engine.write(lambda db: db.execute("SELECT 1 FROM conversations LIMIT 1"))

    async def add_token(self, digest: bytes, token: Token, now_ms: int) -> None:
        """Store a token under the sha256 of its secret."""
        await self._write(tokens.add, digest, token, now_ms)

    async def token(self, digest: bytes) -> Token | None:
        """Find a token by the sha256 of its secret."""
        return await self._read(tokens.find, digest)

    async def resolve(
        self, by: Token, key: str, *, max_gap_s: float | None, now_ms: int
    ) -> tuple[Conversation, bool]:
        """Get or create the conversation of ``key``."""
        return await self._write(conversations.resolve, by, key, max_gap_s, now_ms)

    async def conversation(self, reader: Reader, id_: str, *, now_ms: int) -> Conversation:
        """Read one conversation."""
        return await self._read(conversations.read, reader, id_, now_ms)

    async def conversations(
        self, reader: Reader, *, limit: int, after: str | None, now_ms: int
    ) -> list[Conversation]:
        """List conversations, newest first."""
        return await self._read(conversations.newest, reader, limit, after, now_ms)

    async def events(self, reader: Reader, id_: str, filter_: EventFilter) -> list[bytes]:
        """List events, ascending by position."""
        return await self._read(reading.events, reader, id_, filter_)

    async def last_position(self, reader: Reader, id_: str) -> int:
        """Say the position of the newest event."""
        return await self._read(conversations.last_position, reader, id_)

    async def messages(
        self, reader: Reader, id_: str, *, last: int, before: str | None
    ) -> list[bytes]:
        """List the last messages before one, oldest first."""
        return await self._read(reading.messages, reader, id_, last, before)

    async def usage(
        self, reader: Reader, id_: str, *, limit: int, after: str | None
    ) -> ConversationUsage:
        """Read what models used up."""
        return await self._read(usage.read, reader, id_, limit, after)

    async def clear(
        self, tenant: str, id_: str, *, event_id: str, reason: str | None, now_ms: int
    ) -> Cleared:
        """Begin a new session."""
        work = _bind(conversations.clear, tenant, id_, event_id, reason, now_ms)
        return cast("Cleared", await self._write_and_tell(work, tenant, id_))

    async def has_dropped(self, tenant: str, id_: str, session_number: int, now_ms: int) -> bool:
        """Say whether no live writer still works in an older session."""
        return await self._read(conversations.has_dropped, tenant, id_, session_number, now_ms)

    async def register(
        self, tenant: str, id_: str, writer: NewWriter, *, lease_s: float, now_ms: int
    ) -> Registration:
        """Make a writer's fence final."""
        lease_ms = round(lease_s * 1000)

        def work(db: sqlite3.Connection) -> Registration:
            row = head(db, tenant, id_)
            return writers.register(db, row, writer, lease_ms=lease_ms, now_ms=now_ms)

        return await self._write(work)

    async def renew(
        self, tenant: str, id_: str, writer_id: str, beat: Heartbeat, *, now_ms: int
    ) -> Standing:
        """Extend a writer's lease."""

        def work(db: sqlite3.Connection) -> Standing:
            return writers.renew(db, head(db, tenant, id_), writer_id, beat, now_ms=now_ms)

        return await self._write(work)

    async def end_writer(
        self, tenant: str, id_: str, writer_id: str, end: WriterEnd, *, now_ms: int
    ) -> Standing:
        """Close a writer and its open turns."""

        def work(db: sqlite3.Connection) -> Standing:
            return writers.end_writer(db, head(db, tenant, id_), writer_id, end, now_ms=now_ms)

        return cast("Standing", await self._write_and_tell(work, tenant, id_))

    async def silent_writers(
        self, *, before_ms: int, after: SilentWriter | None, limit: int
    ) -> list[SilentWriter]:
        """List writers that gave no sign since ``before_ms``."""
        place = rows.place_of(after)
        return await self._read(writers.silent, before_ms, place, limit)

    async def store_events(self, tenant: str, batch: Batch, *, now_ms: int) -> Stored:
        """Store a batch, all or nothing."""
        work = _bind(ingest.store_events, tenant, batch, now_ms)

        def tell(made: tuple[Stored, Change | None]) -> None:
            self._tell(made[1])

        stored, _ = cast("tuple[Stored, Change | None]", await self._engine.write(work, then=tell))
        return stored

    async def order(self, reader: Reader, id_: str) -> Sequence[int]:
        """List the positions of all events in conversation order."""
        return await self._read(copies.order, reader, id_)

    async def events_at(self, reader: Reader, id_: str, positions: Sequence[int]) -> list[bytes]:
        """Read the events at ``positions``, in that order."""
        return await self._read(copies.events_at, reader, id_, positions)

    async def fork(self, by: Token, fork: Fork, *, now_ms: int) -> tuple[Conversation, bool]:
        """Store a copy."""
        return await self._write(copies.fork, by, fork, now_ms)

    async def index_messages(self, *, limit: int) -> int:
        """Index messages that wait for it."""
        return await self._write(search.index_some, limit)

    async def search(
        self, reader: Reader, id_: str, words: Sequence[str], *, limit: int
    ) -> list[Hit]:
        """Find messages, best first."""
        found = await self._read(search.find_unless_behind, reader, id_, words, limit)
        if found is None:
            await self._write(search.index, reader.tenant, id_)
            found = await self._read(search.find, reader, id_, words, limit)
        return found

    async def profile(self, tenant: str, identity: str) -> Profile | None:
        """Read a profile."""
        return await self._read(profiles.read, tenant, identity)

    async def put_profile(self, tenant: str, profile: Profile, expected: Expected) -> None:
        """Store a profile if it is as expected."""
        await self._write(profiles.put, tenant, profile, expected)

    async def prunable(
        self, keep: Keep, *, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, str]]:
        """List conversations that may hold too much."""
        return await self._read(retention.candidates, keep, after or ("", ""), limit)

    async def prune(self, tenant: str, id_: str, keep: Keep, *, now_ms: int, limit: int) -> int:
        """Forget up to ``limit`` events."""
        return await self._write(retention.prune, tenant, id_, keep, now_ms, limit)

    async def follow_changes(self, tell: Tell) -> None:
        """Call ``tell`` after each commit of this process: the file has no other writers."""
        self._tells.append(tell)
        try:
            tell(None)
            await asyncio.Event().wait()
        finally:
            self._tells.remove(tell)

    async def open_call(self, by: Token, call: Call, *, new_conversation: bool) -> None:
        """Store a new room of a conversation."""

        def work(db: sqlite3.Connection) -> None:
            calls.open_call(db, by, call, new_conversation=new_conversation)

        await self._write(work)

    async def call(self, reader: Reader, room: str) -> Call:
        """Read one call."""
        return await self._read(calls.read, reader, room)

    async def calls_of(self, reader: Reader, conversation_id: str) -> list[Call]:
        """List the open calls of a conversation."""
        return await self._read(calls.of_conversation, reader, conversation_id)

    async def wake_call(self, tenant: str, room: str, *, now_ms: int) -> Call:
        """Make a call due at once."""
        return await self._write(calls.wake, tenant, room, now_ms)

    async def claim_calls(
        self, claimant: str, *, now_ms: int, until_ms: int, limit: int
    ) -> Sequence[Call]:
        """Take due calls that nobody else holds."""
        return await self._write(calls.claim, claimant, now_ms, until_ms, limit)

    async def save_call(self, claimant: str, call: Call, *, claimed_due_ms: int) -> None:
        """Store what became of a claimed call."""
        await self._write(calls.save, claimant, call, claimed_due_ms)

    async def wake_lost_calls(self, *, now_ms: int, lost_before_ms: int) -> int:
        """Make calls due whose agent is gone."""
        return await self._write(calls.wake_lost, now_ms, lost_before_ms)

    async def agent_life(
        self, tenant: str, conversation_id: str, room: str, *, now_ms: int
    ) -> AgentLife | None:
        """Say what is known of the writer of this room that lives, else of the newest one."""
        return await self._read(calls.agent_life, tenant, conversation_id, room, now_ms)

    def _tell(self, change: Change | None) -> None:
        if change is not None:
            for tell in self._tells:
                tell(change)

    async def _write_and_tell(
        self, work: Callable[[sqlite3.Connection], object], tenant: str, id_: str
    ) -> object:
        change = Change(tenant=tenant, conversation_id=id_)
        return await self._engine.write(work, then=lambda _: self._tell(change))

    async def _write(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        bound = _bind(work, *args, **kwargs)
        return cast("T", await self._engine.write(bound))

    async def _read(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        bound = _bind(work, *args, **kwargs)
        return cast("T", await self._engine.read(bound))


def _bind(
    work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> Callable[[sqlite3.Connection], T]:
    @functools.wraps(work)
    def bound(db: sqlite3.Connection) -> T:
        return work(db, *args, **kwargs)

    return bound


def path_of(url: str) -> Path:
    """Read the file's path out of ``sqlite:///PATH``; raise StartRefused when there is none."""
    prefix, _, path = url.partition("///")
    if prefix != "sqlite:" or not path or path == ":memory:":
        raise StartRefused("VOICE_BACKEND__DATABASE_URL: a file is needed, like sqlite:///PATH")
    return Path(path)
