"""Time and fresh ids: the only place of the backend that asks the machine for either."""

import secrets
import time
from datetime import UTC, datetime

import uuid_utils


def now_ms() -> int:
    """Say the wall clock's time in unix milliseconds."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Say a time that only moves forward, for durations."""
    return time.monotonic()


def new_id() -> str:
    """Make a fresh id (UUIDv7): ids made later sort later."""
    return str(uuid_utils.uuid7())


def new_secret() -> str:
    """Make 256 bits that nobody can guess."""
    return secrets.token_urlsafe(32)


def rfc3339(at_ms: int) -> str:
    """Write an instant as the API does: RFC 3339, UTC, milliseconds."""
    seconds, ms = divmod(at_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)  # strftime pads no year
    return f"{at.isoformat()}.{ms:03d}Z"
