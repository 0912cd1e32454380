"""Forks: a copy of one session of a conversation, under new ids, as session 0 of a new one."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from backend.clock import new_id
from backend.errors import NotFound
from backend.rules.events import MADE_HERE, MAX_EVENTS, Event, check_batch
from backend.service.access import reader
from backend.storage.ports import Copies
from backend.storage.records import FORK_WRITER, Conversation, Fork, Token

PAGE: Final = 500
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])  # Any: an event as storage shows it
_LEFT: Final = ("conversation_id", "writer_id", "fence", "position", "session_number")


async def fork(
    storage: Copies,
    by: Token,
    source_id: str,
    *,
    conversation_id: str | None,
    up_to_event_id: str | None,
    now_ms: int,
) -> tuple[Conversation, bool]:
    """Copy the session that ``up_to_event_id`` is in, up to it; without: the newest, whole.

    Earlier sessions were cleared: what a clear took from the model, a fork does not give back.
    Repeated with the same ``conversation_id``: the same conversation (the bool is False).

    Raises NotFound: no such conversation or event. Conflict: the id is taken by another one.
    """
    source = reader(by)
    positions = await storage.order(source, source_id)
    events: list[dict[str, Any]] = []
    for start in range(0, len(positions), PAGE):
        page = await storage.events_at(source, source_id, positions[start : start + PAGE])
        events += await asyncio.to_thread(_decoded, page)
    copied = await asyncio.to_thread(_copies, _session(events, up_to_event_id))
    wanted = Fork(
        conversation_id=conversation_id or new_id(),
        source_id=source_id,
        up_to_event_id=up_to_event_id,
        events=copied,
    )
    return await storage.fork(by, wanted, now_ms=now_ms)


def _decoded(page: list[bytes]) -> list[dict[str, Any]]:
    return [_DECODER.decode(event) for event in page]


def _session(events: list[dict[str, Any]], up_to: str | None) -> list[dict[str, Any]]:
    """Take the events of one session, to its end or to one event, that one included."""
    if up_to is None:
        end = len(events) - 1
    else:
        end = next((n for n, event in enumerate(events) if event["event_id"] == up_to), -1)
        if end < 0:
            raise NotFound("unknown_event", "up_to_event_id: no such event in this conversation")
    if not events:
        return []
    number = events[end]["session_number"]
    return [event for event in events[: end + 1] if event["session_number"] == number]


def _copies(events: Iterable[dict[str, Any]]) -> list[Event]:
    """Give events new ids and the ordinals of one writer, in the order they have."""
    made = list(_renumbered(events))
    checked: list[Event] = []
    for start in range(0, len(made), MAX_EVENTS):
        checked += check_batch("", FORK_WRITER, made[start : start + MAX_EVENTS])
    return [msgspec.structs.replace(event, usage=()) for event in checked]  # the source spent it


def _renumbered(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    ordinal = 0
    for event in events:
        if event["kind"] in MADE_HERE:  # about the source's writers and sessions
            continue
        ordinal += 1
        kept = {name: value for name, value in event.items() if name not in _LEFT}
        yield kept | {
            "event_id": new_id(),
            "ordinal": ordinal,
            "copied_from": event["event_id"],
        }
