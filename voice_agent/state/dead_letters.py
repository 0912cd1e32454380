"""Events that the backend refused: kept beside the outbox until a person has looked at them.

The place of a refused event in its writer's order is taken by a ``lost`` event, and what is stored
is never changed. So a replay does not put it back there: it delivers the event for a writer of its
own, whose fence follows that of the call it belongs to. It then stands behind everything that was
said in that call and before the next one.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from voice_agent.domain.errors import CorruptStateError
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state import frames
from voice_agent.state.frames import Frame, FrameType
from voice_agent.state.outbox import SUFFIX, Bound, Ended, Header, header_of

log = logging.getLogger(__name__)

FOLDER = "dead"
LETTERS = ".jsonl"
REPLAYED = ".replayed"
"""Letters that were put back for delivery; kept, because they were refused once."""
LETTER_VERSION = 1
"""Version 1, 2026-11. ``fence`` came later and may be absent."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One refused event: why, and its bytes as they were recorded."""

    writer_id: str
    ordinal: int
    status: int
    code: str
    at: str
    event: msgspec.Raw
    conversation_id: str | None = None
    fence: int | None = None
    v: int = LETTER_VERSION


class NotReplayed(Exception):
    """The letters cannot be replayed now; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Letters that were put back for delivery: by which writer, how many."""

    writer_id: WriterId
    count: int


class DeadLetters:
    """The refused events of one outbox folder. Blocking: use a thread."""

    def __init__(self, outbox_folder: Path) -> None:
        self._outboxes = outbox_folder
        self._folder = outbox_folder / FOLDER

    def add(self, letter: Letter) -> bool:
        """Keep a letter; False when it was kept before (a relay that died before it said so)."""
        path = self._folder / f"{letter.writer_id}{LETTERS}"
        if any(known.ordinal == letter.ordinal for known in _letters_in(path)):
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(letter) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    def writers(self) -> list[WriterId]:
        """Who has letters that were not replayed."""
        return sorted(WriterId(path.stem) for path in self._folder.glob(f"*{LETTERS}"))

    def of(self, writer_id: WriterId) -> list[Letter]:
        """The letters of one writer."""
        return list(_letters_in(self._folder / f"{writer_id}{LETTERS}"))

    def replay(self, writer_id: WriterId) -> Replayed:
        """Put a writer's letters into an outbox of their own; the relay delivers them.

        May be repeated, also after a crash in the middle: the same letters make the same file.

        Raises:
            NotReplayed: there is nothing, or the conversation is in use.
        """
        letters = self.of(writer_id)
        if not letters:
            raise NotReplayed(f"{writer_id} has no dead letters: see 'agent.py relay dead list'")
        conversation_id = letters[0].conversation_id
        if conversation_id is None:
            raise NotReplayed(f"{writer_id}: its letters name no conversation")
        self._refuse_while_in_use(ConversationId(conversation_id))
        source = self._folder / f"{writer_id}{LETTERS}"
        replay = _replay_writer(writer_id, letters)
        self._write_outbox(replay, letters)
        source.rename(source.with_suffix(f"{REPLAYED}{letters[-1].ordinal}"))
        log.info("dead letters put back for delivery",
                 extra={"op": "replay", "writer_id": replay, "count": len(letters)})  # fmt: skip
        return Replayed(writer_id=replay, count=len(letters))

    def _refuse_while_in_use(self, conversation_id: ConversationId) -> None:
        """A new writer would look like a newer agent to one that is in the call."""
        for path in self._outboxes.glob(f"*{SUFFIX}"):
            if _conversation_of(path) == conversation_id:
                raise NotReplayed(
                    f"conversation {conversation_id} is in use, or not delivered yet"
                    f" ({path.name}): replay when its call is over"
                )

    def _write_outbox(self, replay: WriterId, letters: list[Letter]) -> None:
        first = letters[0]
        header = Header(
            writer_id=replay,
            started_at=first.at,
            fence=first.fence + 1 if first.fence is not None else _unix_ms(first.at),
            conversation_id=first.conversation_id,
        )
        records = [frames.pack(FrameType.HEADER, 0, msgspec.json.encode(header))]
        for ordinal, letter in enumerate(letters, 1):
            event = _renumbered(letter.event, ordinal)
            records.append(frames.pack(FrameType.EVENT, ordinal, event))
        ended = Ended(reason="replayed", at=letters[-1].at, last_ordinal=len(letters))
        records.append(frames.pack(FrameType.ENDED, 0, msgspec.json.encode(ended)))
        _write_synced(self._outboxes / f"{replay}{SUFFIX}", b"".join(records))


def _replay_writer(writer_id: WriterId, letters: list[Letter]) -> WriterId:
    """A name that says which letters: later ones of the same writer are another replay."""
    return WriterId(f"r{letters[0].ordinal}-{letters[-1].ordinal}-{writer_id}"[:64])


def _letters_in(path: Path) -> Iterator[Letter]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Letter)
        except msgspec.MsgspecError:
            log.warning("dead letter cannot be read", extra={"layer": "outbox", "op": "dead"})


def event_as_json(data: bytes) -> msgspec.Raw:
    """An event for a letter; bytes that are no JSON (a bug of ours) as a string of it."""
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.Raw(msgspec.json.encode(data.decode("utf-8", "backslashreplace")))
    return msgspec.Raw(data)


def _renumbered(event: msgspec.Raw, ordinal: int) -> bytes:
    """The event as it was, but for its place among its writer's events."""
    try:
        record: dict[str, Any] = msgspec.json.decode(event, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise NotReplayed("a letter holds no event: no backend can store it") from exc
    return msgspec.json.encode({**record, "ordinal": ordinal})


def _conversation_of(path: Path) -> str | None:
    """Which conversation an outbox is about; None if it does not say."""
    found: str | None = None
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None  # settled meanwhile
    for item in frames.read(data):
        if not isinstance(item, Frame):
            continue
        if item.type == FrameType.HEADER:
            with suppress(CorruptStateError):  # the relay says what is wrong with it
                found = header_of(item.payload, source=path.name).conversation_id
        elif item.type == FrameType.BOUND:
            found = msgspec.json.decode(item.payload, type=Bound).conversation_id
    return found


def _write_synced(path: Path, data: bytes) -> None:
    """Write a file that is there whole, or not at all."""
    fresh = path.with_suffix(".writing")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _unix_ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
