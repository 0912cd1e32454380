"""Every error this application raises, sorted by what the caller should do.

VoiceAgentError
├── TransientError      try again, later and not for ever
│   ├── LayerUnavailable
│   └── OutboxFull
├── ConflictError       re-read, then decide again
│   ├── OwnershipLost
│   └── LeaseHeld
├── RejectedError       never try again: set it aside and tell a person
│   ├── RequestRefused
│   └── InvalidPointer
└── CorruptStateError   stored bytes cannot be read: quarantine them, keep going
    ├── UnreadableRecord
    └── NewerFormat
"""


class VoiceAgentError(Exception):
    """The root of the tree. Carries fields; its text holds no user content and no secret."""


class TransientError(VoiceAgentError):
    """It may work later: try again with back-off, not for ever."""

    def __init__(self, text: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class LayerUnavailable(TransientError):
    """A layer failed or did not answer in time. The outcome of a write is unknown: repeat it."""

    def __init__(
        self, *, layer: str, op: str, detail: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(
            f"{layer} is unavailable ({op}{': ' + detail if detail else ''})",
            retry_after_s=retry_after_s,
        )
        self.layer = layer
        self.op = op
        self.detail = detail


class OutboxFull(TransientError):
    """The outbox could not take a record: the disk is full or the folder is gone."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the outbox took no record ({reason}): free the disk it is on")
        self.reason = reason


class ConflictError(VoiceAgentError):
    """What the caller believed is no longer true."""


class OwnershipLost(ConflictError):
    """A writer with a higher fence owns the conversation: go silent, record what was said."""

    def __init__(self, *, fence: int, newer: int | None) -> None:
        super().__init__(f"fence {fence} was superseded by {newer}")
        self.fence = fence
        self.newer = newer


class LeaseHeld(ConflictError):
    """Another agent is alive and owns the conversation: wait for its end, or leave."""

    def __init__(self) -> None:
        super().__init__("another agent holds the lease")


class RejectedError(VoiceAgentError):
    """Will never work: set it aside and tell a person."""


class RequestRefused(RejectedError):
    """The peer understood the request and refuses it (4xx)."""

    def __init__(
        self,
        *,
        op: str,
        status: int,
        code: str,
        detail: str,
        rejected: tuple[tuple[int, str], ...] = (),
    ) -> None:
        super().__init__(f"{op} was refused: {status} {code}: {detail}")
        self.op = op
        self.status = status
        self.code = code
        self.detail = detail
        self.rejected = rejected
        """Of a batch: (index, code) of each event that was the reason."""


class InvalidPointer(RejectedError):
    """Metadata that should name a conversation does not."""

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source} does not name a conversation: {reason}")
        self.source = source
        self.reason = reason


class CorruptStateError(VoiceAgentError):
    """Stored bytes cannot be read: quarantine them, keep going."""


class UnreadableRecord(CorruptStateError):
    """One record is damaged; its neighbours are not."""

    def __init__(self, *, source: str, offset: int, reason: str) -> None:
        super().__init__(f"{source} has an unreadable record at byte {offset}: {reason}")
        self.source = source
        self.offset = offset
        self.reason = reason


class NewerFormat(CorruptStateError):
    """The bytes were written by a newer version of this program."""

    def __init__(self, *, source: str, version: int) -> None:
        super().__init__(f"{source} has format version {version}, which is newer than this program")
        self.source = source
        self.version = version
