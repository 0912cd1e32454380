"""Rows become records: the columns that both databases read, in the order they are read."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from backend.errors import Gone, PreconditionFailed
from backend.rules.batches import NOT_KEPT, Placed
from backend.rules.events import canonical
from backend.rules.ordinals import Received
from backend.rules.retention import Keep
from backend.rules.rows import Head, WriterRow, runs_of
from backend.rules.words import scorer, words_of
from backend.storage.records import (
    AgentLife,
    Call,
    Change,
    Conversation,
    Expected,
    Gap,
    Hit,
    Owner,
    Profile,
    SilentWriter,
    Token,
)

Row = Sequence[Any]
"""One row of a database. Any: its columns are typed by the statement."""


class _Said(msgspec.Struct):
    text: str = ""


CONVERSATION: Final = "id, key, session_number, version, last_position, created_ms, updated_ms"
HEAD: Final = "session_number, version, last_position, highest_fence, floor_fence"
WRITER: Final = (
    "fence, room, session_number, window_session, acknowledged, ahead, last_ordinal, ended_ms"
)
OWNER: Final = "writer_id, fence, lease_until_ms"
GAPS: Final = "writer_id, acknowledged, ahead, last_ordinal, ended_ms, lease_until_ms"
CALL: Final = (
    "tenant, room, conversation_id, mode, state, attempts, detail, created_ms, due_ms,"
    " dispatch_id, dispatched_ms, people_seen_ms"
)
SILENT: Final = (
    "tenant, conversation_id, writer_id, lease_until_ms, registered_ms, acknowledged, ahead"
)
"""A writer that gives no sign of life."""
LIFE: Final = "writer_id, lease_until_ms, registered_ms, beats, ended_ms"
PROFILE: Final = "identity, body, etag, updated_ms"
TOKEN: Final = "tenant, token_id, scope, expires_ms"  # noqa: S105 - column names
EVENT: Final = "e.body, e.session_number, e.writer_id, e.fence, e.position"
MESSAGE_ORDER: Final = "session_number, fence, turn_ordinal, role_rank, ordinal"
"""The conversation order of messages: DESIGN's (session, fence, turn, user first, ordinal)."""

ORDER: Final = """
SELECT position FROM (
    SELECT position, session_number, fence, turn_ordinal, role_rank + 1 AS place, ordinal
    FROM messages WHERE tenant = {tenant} AND conversation_id = {id}
    UNION ALL
    SELECT position, session_number, fence, coalesce(ordinal, 4611686018427387904), 0,
        coalesce(ordinal, 4611686018427387904)
    FROM events WHERE tenant = {tenant} AND conversation_id = {id} AND kind <> 'message'
) AS e ORDER BY session_number, fence, turn_ordinal, place, ordinal, position
"""
"""All positions in conversation order: messages stand where ``MESSAGE_ORDER`` has them, right
after their turn's start; what has no ordinal comes last of its writer."""

NEWEST_SESSION: Final = """
SELECT {greatest}(coalesce((SELECT max(number) FROM sessions
        WHERE tenant = {tenant} AND conversation_id = {id}), 0),
    coalesce((SELECT max(session_number) FROM messages
        WHERE tenant = {tenant} AND conversation_id = {id}), 0))
"""
"""The highest session number that the log itself shows: what the counter is held against."""

BEHIND: Final = """
SELECT 1 FROM writers WHERE tenant = {tenant} AND conversation_id = {id}
AND window_session < {number} AND ended_ms IS NULL AND (lease_until_ms > {now} OR fence = (
    SELECT max(fence) FROM writers WHERE tenant = {tenant} AND conversation_id = {id} AND {beats}
))
"""
"""A writer that may be talking in an earlier session: its lease is alive, or it is the newest that
ever said so and nobody has ended it (it may be cut off from here, and from nobody else)."""

NEWEST: Final = (2**62, "")
"""Where a list that begins with the newest starts."""
NO_MESSAGE: Final = (2**62, 0, 0, 0, 0)
"""A place in the conversation order behind every message."""
MAX_GAPS: Final = 100
"""Gaps shown at a conversation: enough to see that something is wrong and where it begins."""
_TEXT: Final = msgspec.json.Decoder(_Said)
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])  # Any: the event as its writer sent it


def head(tenant: str, id_: str, row: Row) -> Head:
    """Make the part of a conversation that a change needs, of ``HEAD``."""
    return Head(
        tenant=tenant,
        id=id_,
        session_number=row[0],
        version=row[1],
        last_position=row[2],
        highest_fence=row[3],
        floor_fence=row[4],
    )


def writer(writer_id: str, row: Row) -> WriterRow:
    """Make a writer of ``WRITER``."""
    return WriterRow(
        writer_id=writer_id,
        fence=row[0],
        room=row[1],
        session_number=row[2],
        window_session=row[3],
        received=Received(acknowledged=row[4], ahead=runs_of(row[5])),
        last_ordinal=row[6],
        ended=row[7] is not None,
    )


def owner(row: Row | None) -> Owner | None:
    """Make the live holder of a lease of ``OWNER``; there may be none."""
    if row is None:
        return None
    return Owner(writer_id=row[0], fence=row[1], lease_until_ms=row[2])


def silent(row: Row) -> SilentWriter:
    """Make a writer of ``SILENT``."""
    return SilentWriter(
        tenant=row[0],
        conversation_id=row[1],
        writer_id=row[2],
        last_sign_ms=max(row[3], row[4]),
        acknowledged=row[5],
        ahead=row[6],
    )


def place_of(writer: SilentWriter | None) -> tuple[str, str, str]:
    """Say behind which names a list goes on; empty ones stand before all."""
    if writer is None:
        return ("", "", "")
    return (writer.tenant, writer.conversation_id, writer.writer_id)


def gaps(rows: Iterable[Row], now_ms: int) -> tuple[Gap, ...]:
    """List what is missing of writers (``GAPS``), ascending by fence.

    A living writer's newest are still on their way. One whose lease ran out may be gone with its
    outbox; if it is not, its relay delivers and they are missing no more.
    """
    found: list[Gap] = []
    for writer_id, acknowledged, ahead, last, ended, lease_until_ms in rows:
        received = Received(acknowledged=acknowledged, ahead=runs_of(ahead))
        told = last if ended is not None or lease_until_ms <= now_ms else 0
        found += [Gap(writer_id=writer_id, first=a, last=b) for a, b in received.missing(told)]
    return tuple(found[:MAX_GAPS])


def conversation(row: Row, holder: Owner | None, missing: tuple[Gap, ...]) -> Conversation:
    """Make a conversation of ``CONVERSATION``."""
    return Conversation(
        id=row[0],
        key=row[1],
        session_number=row[2],
        version=row[3],
        last_position=row[4],
        created_ms=row[5],
        updated_ms=row[6],
        owner=holder,
        missing=missing,
    )


def call(row: Row) -> Call:
    """Make a call of ``CALL``."""
    return Call(
        tenant=row[0],
        room=row[1],
        conversation_id=row[2],
        mode=row[3],
        state=row[4],
        attempts=row[5],
        detail=row[6],
        created_ms=row[7],
        due_ms=row[8],
        dispatch_id=row[9],
        dispatched_ms=row[10],
        people_seen_ms=row[11],
    )


def values(call: Call) -> Row:
    """List what is stored of a call, in the order of ``CALL``."""
    return (
        call.tenant,
        call.room,
        call.conversation_id,
        call.mode,
        call.state,
        call.attempts,
        call.detail,
        call.created_ms,
        call.due_ms,
        call.dispatch_id,
        call.dispatched_ms,
        call.people_seen_ms,
    )


def life(row: Row | None) -> AgentLife | None:
    """Make what is known of an agent of ``LIFE``."""
    if row is None:
        return None
    return AgentLife(
        writer_id=row[0],
        lease_until_ms=row[1],
        registered_ms=row[2],
        beats=bool(row[3]),
        ended=row[4] is not None,
    )


def profile(row: Row | None) -> Profile | None:
    """Make a profile of ``PROFILE``; there may be none."""
    if row is None:
        return None
    return Profile(identity=row[0], body=bytes(row[1]), etag=row[2], updated_ms=row[3])


def is_repeat(held: Profile | None, wanted: Profile, expected: Expected) -> bool:
    """Say whether a change of a profile was made before; raise PreconditionFailed."""
    if held is not None and held.etag == wanted.etag and expected.exists is not False:
        return True
    unseen = expected.etags is not None and (held is None or held.etag not in expected.etags)
    if unseen or (expected.exists is not None and expected.exists != (held is not None)):
        raise PreconditionFailed("changed", "the profile is not what you saw: read it again")
    return False


def token(row: Row | None) -> Token | None:
    """Make a token of ``TOKEN``."""
    if row is None:
        return None
    return Token(tenant=row[0], token_id=row[1], scope=row[2], expires_ms=row[3])


def events(conversation_id: str, rows: Iterable[Row]) -> list[bytes]:
    """Write events as JSON (``EVENT``): what was sent, and the context the columns hold."""
    return [event(conversation_id, row) for row in rows]


def in_order(conversation_id: str, found: Iterable[Row], positions: Sequence[int]) -> list[bytes]:
    """Write events (``EVENT``) in the order of ``positions``."""
    by_position = {row[4]: row for row in found}
    return [event(conversation_id, by_position[p]) for p in positions if p in by_position]


def event(conversation_id: str, row: Row) -> bytes:
    """Write one event as JSON; one that was not kept (position 0) shows no position."""
    body, session_number, writer_id, fence, position = row
    shown = _DECODER.decode(body)
    shown["conversation_id"] = conversation_id
    shown["session_number"] = session_number
    shown["writer_id"] = writer_id
    shown["fence"] = fence
    if position != NOT_KEPT:
        shown["position"] = position
    return canonical(shown)


def limits(keep: Keep) -> tuple[int, int]:
    """Say which conversations may hold too much: more events than this, older than that."""
    most = 2**62 if keep.max_events is None else keep.max_events
    return most, keep.since_ms or 0


def not_pruned(after: int, pruned_position: int) -> None:
    """Raise Gone when a cursor points into what was pruned; 0 is no cursor: what is left."""
    if 0 < after < pruned_position:
        raise Gone(pruned_position)


def search_mark(tenant: str, conversation_id: str) -> str:
    """Mark the words of a conversation in a search index.

    Two conversations may have the same mark: a search compares their names as well.
    """
    return sha256(f"{tenant}\0{conversation_id}".encode()).hexdigest()[:8]


def hits(
    conversation_id: str, newest: Iterable[Row], words: Sequence[str], limit: int
) -> list[Hit]:
    """Rank messages (``EVENT``), newest first: the best first, of equals the newer."""
    score = scorer(words)
    scored = [(score(_TEXT.decode(row[0]).text), row) for row in newest]
    scored.sort(key=lambda pair: -pair[0])  # stable
    return [
        Hit(event=event(conversation_id, row), score=round(value, 6))
        for value, row in scored[:limit]
    ]


def words_in(body: bytes) -> set[str]:
    """Name the words of a stored message."""
    return set(words_of(_TEXT.decode(body).text))


def change(head: Head, writer: WriterRow, placed: Sequence[Placed]) -> Change | None:
    """Say what followers are to hear of a batch; None: nothing of it is new."""
    if not placed:
        return None
    passing = tuple(
        event(head.id, (p.event.body, p.session_number, writer.writer_id, writer.fence, p.position))
        for p in placed
        if p.position == NOT_KEPT
    )
    return Change(tenant=head.tenant, conversation_id=head.id, passing=passing)
