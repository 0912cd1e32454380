"""``agent.py relay dead | quarantine``: what the relay has set aside, for a person to look at.

It works on the outbox folder alone: neither the relay nor the backend need run. ``dead show``
prints what callers said.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from voice_agent.domain.ids import WriterId
from voice_agent.state.dead_letters import DeadLetters, NotReplayed
from voice_agent.state.reading import QUARANTINE

USAGE = (
    "usage: python agent.py relay                       deliver outboxes to the backend\n"
    "       python agent.py relay dead list             events that the backend refused\n"
    "       python agent.py relay dead show WRITER      those of one writer, one JSON line each\n"
    "       python agent.py relay dead replay [WRITER]  put them back for delivery\n"
    "       python agent.py relay quarantine list       damaged bytes that were set aside\n"
)
BAD_COMMAND = 2


def run(folder: Path, words: list[str]) -> int:
    """Run one command on an outbox folder; 0 when it did what was asked."""
    letters = DeadLetters(folder)
    match words:
        case ["dead", "list"]:
            return _list(letters)
        case ["dead", "show", writer]:
            return _show(letters, WriterId(writer))
        case ["dead", "replay"]:
            return _replay(letters, letters.writers())
        case ["dead", "replay", writer]:
            return _replay(letters, [WriterId(writer)])
        case ["quarantine", "list"]:
            return _list_quarantine(folder / QUARANTINE)
        case _:
            sys.stderr.write(USAGE)
            return BAD_COMMAND


def _list(letters: DeadLetters) -> int:
    for writer_id in letters.writers():
        of_writer = letters.of(writer_id)
        if of_writer:
            first = of_writer[0]
            codes = ", ".join(sorted({f"{letter.status} {letter.code}" for letter in of_writer}))
            _say(f"{writer_id}  conversation {first.conversation_id}  {len(of_writer)} events"
                 f"  since {first.at}  refused: {codes}")  # fmt: skip
    if not letters.writers():
        _say("no dead letters")
    return 0


def _show(letters: DeadLetters, writer_id: WriterId) -> int:
    of_writer = letters.of(writer_id)
    for letter in of_writer:
        _say(msgspec.json.encode(letter).decode())
    if not of_writer:
        sys.stderr.write(f"relay: {writer_id} has no dead letters\n")
    return 0 if of_writer else 1


def _replay(letters: DeadLetters, writers: list[WriterId]) -> int:
    failed = 0
    for writer_id in writers:
        try:
            done = letters.replay(writer_id)
        except NotReplayed as exc:
            sys.stderr.write(f"relay: not replayed: {exc}\n")
            failed += 1
        else:
            _say(f"{writer_id}: {done.count} events put back for delivery, as writer"
                 f" {done.writer_id}: what is stored under their ordinals stays")  # fmt: skip
    if not writers:
        _say("no dead letters")
    return 1 if failed else 0


def _list_quarantine(folder: Path) -> int:
    found = sorted(folder.glob("*")) if folder.is_dir() else []
    for path in found:
        stat = path.stat()
        at = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat(timespec="seconds")
        _say(f"{path.name}  {stat.st_size} bytes  {at}")
    if not found:
        _say("nothing in quarantine")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
