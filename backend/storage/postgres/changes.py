"""Telling every replica that a conversation has grown: LISTEN and NOTIFY, beside the writes.

A notification inside the storing transaction would make all commits of the database wait for each
other: PostgreSQL holds one lock for the order of its queue until the commit is on the disk. So each
replica collects what it has committed and rings once for all of it, on a connection of its own,
within milliseconds. What is lost when a replica dies in between, readers find by looking now and
then. Events that are not kept travel in the notification, where they fit.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from backend.clock import new_id
from backend.errors import Unavailable
from backend.storage.ports import Tell
from backend.storage.postgres.engine import Db, Engine
from backend.storage.records import Change

CHANNEL: Final = "throughline_changes"
MAX_PAYLOAD_BYTES: Final = 7_900
"""PostgreSQL takes 8,000."""
MAX_PENDING: Final = 10_000
"""Conversations that wait to be told of; beyond it readers look by themselves."""
COLLECT_S: Final = 0.002
CHECK_S: Final = 10.0
"""A connection that is silent this long is asked whether it lives."""
_RING: Final = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"


class _Word(msgspec.Struct, rename={"replica": "r", "tenant": "t", "id": "c", "passing": "p"}):
    """A notification."""

    replica: str
    tenant: str
    id: str
    passing: list[msgspec.Raw] = []


class Changes:
    """What this replica has changed, and who wants to know of changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._replica = new_id()
        self._tells: list[Tell] = []
        self._pending: dict[tuple[str, str], list[bytes]] = {}
        self._rung = asyncio.Event()

    def made(self, change: Change | None) -> None:
        """Take note of a commit: tell those here at once, the other replicas soon."""
        if change is None or not self._tells:
            return
        for tell in self._tells:
            tell(change)
        place = (change.tenant, change.conversation_id)
        if place in self._pending or len(self._pending) < MAX_PENDING:
            self._pending.setdefault(place, []).extend(change.passing)
            self._rung.set()

    async def follow(self, tell: Tell) -> None:
        """Call ``tell`` for every change, until cancelled; raise Unavailable when it cannot."""
        self._tells.append(tell)
        try:
            async with self._engine.own_connection() as db:
                db.add_termination_listener(lambda _: self._rung.set())
                await db.add_listener(CHANNEL, self._heard(tell))
                tell(None)
                await self._ring(db)
        finally:
            self._tells.remove(tell)

    def _heard(self, tell: Tell) -> Callable[[Db, int, str, str], None]:
        def heard(_: Db, _pid: int, _channel: str, payload: str) -> None:
            with suppress(msgspec.DecodeError):  # of a later version: readers look by themselves
                word = msgspec.json.decode(payload, type=_Word)
                if word.replica != self._replica:
                    passing = tuple(bytes(event) for event in word.passing)
                    tell(Change(tenant=word.tenant, conversation_id=word.id, passing=passing))

        return heard

    async def _ring(self, db: Db) -> None:
        """Pass on what is changed here, until the connection is gone."""
        await db.execute("SET synchronous_commit = off")  # nothing of it need survive
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._rung.wait()
            if db.is_closed():
                raise Unavailable("storage_unavailable", "the connection to the database was lost")
            await asyncio.sleep(COLLECT_S)
            self._rung.clear()
            changed, self._pending = self._pending, {}
            await db.execute(_RING, CHANNEL, self._words(changed))

    def _words(self, changed: dict[tuple[str, str], list[bytes]]) -> list[str]:
        words = []
        for (tenant, id_), passing in changed.items():
            word = _Word(replica=self._replica, tenant=tenant, id=id_)
            room = MAX_PAYLOAD_BYTES - len(msgspec.json.encode(word))
            for event in passing:
                size = len(event) + 1
                if size > room:
                    words.append(word)
                    word = _Word(replica=self._replica, tenant=tenant, id=id_)
                    room = MAX_PAYLOAD_BYTES - len(msgspec.json.encode(word))
                if size <= room:
                    word.passing.append(msgspec.Raw(event))
                    room -= size
            words.append(word)
        return [msgspec.json.encode(one).decode() for one in words]
