"""What a session knows, as bytes for another process. A bare handle is never trusted (S2.9).

Secret: a handle gives access to the conversation. Version 1: handle, instant of issue, what the
service knew then, open calls, size of the last prompt, and which model on which API it is for.
"""

import msgspec

from voice_agent.providers.gemini.memory import Frozen, Memory

VERSION = 1


class SavedSession(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form."""

    v: int = VERSION
    where: str
    """API, project and location, model: a handle is worth nothing elsewhere."""
    handle: str
    issued_at: float
    known: list[tuple[str, str]]
    open_calls: list[str] = []
    calls: dict[str, tuple[str, str]] = {}
    tokens: int = 0


def encode(memory: Memory, *, where: str) -> bytes:
    """Write what the newest handle stands for; empty without a handle."""
    frozen = memory.frozen
    if frozen is None:
        return b""
    return msgspec.json.encode(
        SavedSession(
            where=where,
            handle=frozen.handle,
            issued_at=frozen.issued_at,
            known=list(frozen.known.items()),
            open_calls=sorted(frozen.open_calls),
            calls={call: memory.calls[call] for call in frozen.open_calls if call in memory.calls},
            tokens=frozen.tokens,
        )
    )


def restore(payload: bytes, memory: Memory, *, where: str) -> bool:
    """Take a stored session over. False: of another model, or not readable."""
    try:
        saved = msgspec.json.decode(payload, type=SavedSession)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    if saved.v != VERSION or saved.where != where or not saved.handle:
        return False
    memory.frozen = Frozen(
        handle=saved.handle,
        issued_at=saved.issued_at,
        known=dict(saved.known),
        open_calls=frozenset(saved.open_calls),
        tokens=saved.tokens,
    )
    memory.calls.update(saved.calls)
    memory.tokens = saved.tokens
    return True
