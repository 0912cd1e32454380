"""Events to measure with: messages of about one kilobyte, the same at every run."""

from __future__ import annotations

import datetime
import random

from voice_agent.domain.events import Event, Message, Speaker
from voice_agent.domain.ids import EventId, Identity, ItemId, TurnId
from voice_agent.state.codec import encode_event

MESSAGE_BYTES = 1024
_TEXT = "the order was sent on monday and has not come yet please look where it is now"
_BEGAN_AT = datetime.datetime(2026, 11, 21, 4, tzinfo=datetime.UTC)


def text(size: int, rng: random.Random) -> str:
    """Return ``size`` characters of words."""
    words = rng.choices(_TEXT.split(), k=size // 3 + 1)
    return " ".join(words)[:size]


def message(ordinal: int, *, size: int = MESSAGE_BYTES) -> Event:
    """Return a message whose encoded form has about ``size`` bytes; no string is shared."""
    rng = random.Random(ordinal)
    overhead = 330

    def made(words: str) -> Event:
        return Event(
            event_id=EventId(f"{rng.getrandbits(128):032x}"),
            ordinal=ordinal,
            at=_BEGAN_AT + datetime.timedelta(seconds=ordinal),
            turn_id=TurnId(f"{rng.getrandbits(128):032x}"),
            session_number=0,
            body=Message(
                role="user" if ordinal % 2 else "assistant",
                text=words,
                speaker=Speaker(identity=Identity(f"caller-{ordinal:06}"), name="Ada Lovelace"),
                item_id=ItemId(f"item_{rng.getrandbits(48):012x}"),
            ),
        )

    return made(text(max(1, size - overhead), rng))


def encoded(count: int) -> list[bytes]:
    """Return ``count`` encoded messages with ordinals from 1."""
    return [encode_event(message(n)) for n in range(1, count + 1)]
