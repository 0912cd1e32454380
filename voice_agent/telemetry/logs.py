"""Log lines: a constant message, values as fields, personal content only in ``pii`` keys.

The job processes send their records to the worker, which writes them; the filter stands there.
"""

import logging

LIVEKIT_PERSONAL = frozenset(
    ("room", "participant", "participant_identity", "text", "transcript", "user_input", "identity")
)
"""Fields that livekit-agents puts into records (its own, and ours made in a job)."""


class PersonalContent(logging.Filter):
    """Takes personal fields off every record, unless they are wanted."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    def filter(self, record: logging.LogRecord) -> bool:
        """Always let the record through, without its personal fields."""
        if self._keep:
            return True
        for key in list(record.__dict__):
            if "pii" in key.split(".") or key in LIVEKIT_PERSONAL:
                del record.__dict__[key]
        return True


def guard_personal_content(*, keep: bool) -> None:
    """Put the filter on every handler of this process. Call it after logging is set up."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(PersonalContent(keep=keep))
