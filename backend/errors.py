"""Every error the backend raises, sorted by what the caller should do.

BackendError
├── Unavailable    try again after a while: nothing was stored
├── Conflict       what the caller believed is no longer true: re-read, decide again
├── NotFound       no such thing for this tenant
├── Denied         the token does not allow it
├── Malformed      never again like this: the request is wrong
├── TooLarge       split it
├── Gone           a cursor into what was pruned: begin again, or after the position it names
├── PreconditionFailed  what is to be changed is not what the caller saw: read it again
├── Unsupported    another content type than JSON
├── NotBuilt       a later version of this backend answers it
└── StartRefused   the program cannot start: one line says why and what to do

``api/problems.py`` gives each its HTTP status. Texts hold no user content and no secret.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """What is wrong with one item of a batch: ``index`` counts from 0."""

    index: int
    code: str
    detail: str


class BackendError(Exception):
    """The root. ``code`` is for machines, ``detail`` for people."""

    def __init__(self, code: str, detail: str, errors: tuple[ItemError, ...] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors


class Unavailable(BackendError):
    """A part is away or full. Safe to repeat after ``retry_after_s``."""

    def __init__(self, code: str, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(code, detail)
        self.retry_after_s = retry_after_s


class Conflict(BackendError):
    """Re-read, then decide again."""


class NotFound(BackendError):
    """Unknown, or another tenant's: the answer does not tell which."""


class Unauthenticated(BackendError):
    """No token, or one that is unknown or has expired."""


class Denied(BackendError):
    """The token's scope does not reach that far."""


class Malformed(BackendError):
    """The request cannot be understood."""


class TooLarge(BackendError):
    """More than one request may carry: split it."""


class Gone(BackendError):
    """What came after the cursor was pruned; everything after ``after`` is there."""

    def __init__(self, after: int) -> None:
        super().__init__("cursor_pruned", f"events were pruned: begin at 0, or go on after {after}")
        self.after = after


class PreconditionFailed(BackendError):
    """What is to be changed has changed meanwhile: read it again, decide again."""


class Unsupported(BackendError):
    """A content type that this endpoint does not read."""


class NotBuilt(BackendError):
    """Specified, and not there yet."""


class StartRefused(BackendError):
    """The program cannot start."""

    def __init__(self, detail: str) -> None:
        super().__init__("start_refused", detail)
