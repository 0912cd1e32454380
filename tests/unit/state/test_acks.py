"""The acknowledgement beside an outbox: right, or as good as none."""

import asyncio
from pathlib import Path

import pytest

from voice_agent.aio.clock import SystemClock
from voice_agent.state.acks import NOTHING, Ack, AckWatch, ack_of, read_ack, write_ack

CORPUS = Path(__file__).parents[2] / "corpus" / "acks"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.ack"
    write_ack(path, Ack(end=123456, ordinal=70, file=9))
    write_ack(path, Ack(end=7, ordinal=1, file=9))
    assert read_ack(path, file=9) == Ack(end=7, ordinal=1, file=9)


def test_an_acknowledgement_of_another_file_says_nothing(tmp_path: Path) -> None:
    """An outbox that was deleted and written anew must be delivered from its beginning."""
    path = tmp_path / "w.ack"
    write_ack(path, Ack(end=123, ordinal=7, file=9))
    assert read_ack(path, file=10) == NOTHING


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"end":"x"}', b"[]", b"-5", b"   "])
def test_nonsense_is_as_good_as_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "w.ack"
    path.write_bytes(text)
    assert read_ack(path, file=1) == NOTHING
    assert read_ack(tmp_path / "absent", file=1) == NOTHING


def test_every_stored_version_is_still_read() -> None:
    assert read_ack(CORPUS / "v1.ack", file=1) == Ack(end=2048)
    assert read_ack(CORPUS / "v2.ack", file=77) == Ack(end=2048, ordinal=12, file=77)


async def test_the_watch_ends_when_the_record_is_acknowledged_and_not_before(
    tmp_path: Path,
) -> None:
    outbox = tmp_path / "w.outbox"
    watch = AckWatch(outbox, clock=SystemClock())
    reached = asyncio.ensure_future(watch.reached(5, file=1))
    await asyncio.to_thread(write_ack, ack_of(outbox), Ack(end=90, ordinal=4, file=1))
    done, _ = await asyncio.wait({reached}, timeout=0.1)
    assert not done
    await asyncio.to_thread(write_ack, ack_of(outbox), Ack(end=99, ordinal=5, file=1))
    await asyncio.wait_for(reached, 5)
