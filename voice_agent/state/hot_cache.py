"""The newest events of each live conversation, in Redis, for whichever pod needs them next.

Losing it costs latency and never data: the backend has the truth, the outbox what the backend has
not acknowledged. Only the writer's next ordinal at the highest fence is appended; check and write
are one script, so nothing is ever read, changed and written back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.entries import Entry
from voice_agent.state.hot_scripts import APPEND, NOTE, READ, REBUILD, Scripts
from voice_agent.state.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribe:
    """A writer as the tail knows it.

    ``header``: its outbox's, so that another pod can register it. ``is_first``: the conversation
    held nothing before it.
    """

    writer_id: WriterId
    fence: int
    header: bytes
    is_first: bool = False


class Outcome(StrEnum):
    """What became of an append."""

    STORED = "stored"
    SEEN = "seen"  # it was there already
    GAP = "gap"  # what comes before is missing: the relay refills in order
    FENCED = "fenced"  # a writer with a higher fence has the tail, which is now marked stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The outcome, and the writer's newest ordinal in the tail (the other's fence if fenced)."""

    outcome: Outcome
    held: int


class Standing(StrEnum):
    """How a writer stands to a tail."""

    OWNER = "owner"
    OTHER = "other"  # another writer has it now
    ABSENT = "absent"  # there is no tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Whose tail it is, and the writer's newest ordinal in it."""

    standing: Standing
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """What Redis has of a conversation. ``is_whole``: from the conversation's beginning."""

    writer_id: WriterId | None = None
    fence: int = 0
    ordinal: int = 0
    is_whole: bool = False
    is_stale: bool = False
    entries: tuple[Entry, ...] = ()
    reached: Mapping[WriterId, int] = field(default_factory=dict)
    """How far each writer's events are in the tail, or were."""
    acknowledged: Mapping[WriterId, int] = field(default_factory=dict)
    headers: Mapping[WriterId, bytes] = field(default_factory=dict)


class HotCache:
    """The tails of one tenant's conversations."""

    def __init__(self, scripts: Scripts, keys: Keys, *, ttl_s: int, most: int) -> None:
        """``ttl_s``: how long a tail outlives its last append; ``most``: its events at most."""
        self._scripts = scripts
        self._keys = keys
        self._ttl_s = ttl_s
        self.most = most

    @property
    def rest_left_s(self) -> float:
        """Seconds until the next call will be tried; 0 when it is worth trying now."""
        return self._scripts.rest_left_s

    async def append(
        self,
        conversation_id: ConversationId,
        scribe: Scribe,
        first_ordinal: int,
        payloads: Sequence[bytes],
    ) -> Appended:
        """Add a run of events, as far as they are the writer's next ones.

        Raises:
            LayerUnavailable: Redis is away or full; safe to repeat, as after a cancellation.
        """
        answer = await self._scripts.run(
            "append",
            APPEND,
            self._of(conversation_id),
            [
                scribe.writer_id,
                scribe.fence,
                scribe.header,
                int(scribe.is_first),
                self._ttl_s,
                self.most,
                first_ordinal,
                *payloads,
            ],
        )
        return Appended(outcome=Outcome(answer[0].decode()), held=int(answer[1]))

    async def read(self, conversation_id: ConversationId, *, most: int | None = None) -> Tail:
        """Read the newest events, all or ``most``. Raises ``LayerUnavailable``."""
        head, raw, length = await self._scripts.run(
            "read", READ, self._of(conversation_id), [most or self.most]
        )
        return _tail_of(head, raw, is_cut=length > len(raw))

    async def note(
        self, conversation_id: ConversationId, writer_id: WriterId, *, acknowledged: int
    ) -> Noted:
        """Note what the backend has of a writer; say what the tail has of it.

        Raises ``LayerUnavailable``; safe to repeat.
        """
        answer = await self._scripts.run(
            "note", NOTE, self._of(conversation_id), [writer_id, acknowledged]
        )
        return Noted(standing=Standing(answer[0].decode()), held=int(answer[1]))

    async def rebuild(
        self,
        conversation_id: ConversationId,
        scribe: Scribe,
        entries: Sequence[Entry],
        *,
        is_whole: bool,
    ) -> bool:
        """Begin the tail anew with what the backend has, before ``scribe`` has appended anything.

        Returns False, and changes nothing, where it has, or where a newer writer came first.
        Raises ``LayerUnavailable``; safe to repeat.
        """
        answer = await self._scripts.run(
            "rebuild",
            REBUILD,
            self._of(conversation_id),
            [
                scribe.writer_id,
                scribe.fence,
                scribe.header,
                int(is_whole),
                self._ttl_s,
                *(_packed(entry) for entry in entries),
            ],
        )
        return bool(answer)

    def _of(self, conversation_id: ConversationId) -> list[str]:
        return [self._keys.head(conversation_id), self._keys.tail(conversation_id)]


def _packed(entry: Entry) -> bytes:
    return f"{entry.writer_id} {entry.fence} {entry.ordinal}\n".encode() + entry.data


def _unpacked(raw: bytes) -> Entry:
    place, _, data = raw.partition(b"\n")
    writer_id, fence, ordinal = place.decode().split(" ")
    return Entry(writer_id=WriterId(writer_id), fence=int(fence), ordinal=int(ordinal), data=data)


def _tail_of(head: Sequence[bytes], raw: Sequence[bytes], *, is_cut: bool) -> Tail:
    fields = dict(zip(head[::2], head[1::2], strict=True))
    if b"writer" not in fields or not raw:
        return Tail()
    writer_id = WriterId(fields[b"writer"].decode())
    ordinal = int(fields.get(b"ordinal", b"0"))
    reached = {w: int(v) for w, v in _named(fields, b"o:").items()}
    reached[writer_id] = ordinal
    return Tail(
        writer_id=writer_id,
        fence=int(fields[b"fence"]),
        ordinal=ordinal,
        is_whole=fields.get(b"origin") == b"1" and not is_cut,
        is_stale=fields.get(b"stale") == b"1",
        entries=tuple(_unpacked(one) for one in raw),
        reached=reached,
        acknowledged={w: int(v) for w, v in _named(fields, b"a:").items()},
        headers=_named(fields, b"h:"),
    )


def _named(fields: Mapping[bytes, bytes], prefix: bytes) -> dict[WriterId, bytes]:
    length = len(prefix)
    return {
        WriterId(name[length:].decode()): value
        for name, value in fields.items()
        if name.startswith(prefix)
    }
