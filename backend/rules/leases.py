"""Leases: the live holder wins; anyone else is refused until it ends or expires."""

from backend.errors import Conflict
from backend.rules.rows import Head, WriterRow


def check_renewal(writer: WriterRow, holder: tuple[str, int] | None) -> None:
    """Raise Conflict unless ``writer`` may hold the lease. ``holder``: id and fence, if any."""
    if writer.ended:
        raise Conflict("ended", "this writer has ended: register a new one")
    if holder is None or holder[0] == writer.writer_id:
        return
    if holder[1] > writer.fence:
        raise Conflict("superseded", "a writer with a higher fence owns the conversation")
    raise Conflict("lease_held", "another writer's lease is alive: wait until it ends")


def window_after(row: Head, writer: WriterRow, said: int | None) -> int:
    """Say which session a writer's window is in after a heartbeat. It only moves forward."""
    if said is None:
        return writer.window_session
    return max(writer.window_session, min(said, row.session_number))
