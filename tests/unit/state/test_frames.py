"""Damage in a file stays where it is: every other record is still read."""

from hypothesis import given
from hypothesis import strategies as st

from voice_agent.state import frames
from voice_agent.state.frames import Damage, Frame, FrameType

PAYLOADS = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=12)


def file_of(payloads: list[bytes]) -> bytes:
    return b"".join(frames.pack(FrameType.EVENT, n, p) for n, p in enumerate(payloads, 1))


@given(payloads=PAYLOADS)
def test_what_is_written_is_read_back(payloads: list[bytes]) -> None:
    items = list(frames.read(file_of(payloads)))
    assert [i.payload for i in items if isinstance(i, Frame)] == payloads
    assert [i.ordinal for i in items if isinstance(i, Frame)] == list(range(1, len(payloads) + 1))


@given(payloads=PAYLOADS, data=st.data())
def test_one_flipped_byte_costs_one_record(payloads: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(file_of(payloads))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    read = [i for i in frames.read(bytes(raw), final=True) if isinstance(i, Frame)]
    damaged = [i for i in frames.read(bytes(raw), final=True) if isinstance(i, Damage)]
    assert len(read) == len(payloads) - 1
    assert len(damaged) == 1
    assert {i.payload for i in read} <= set(payloads)


@given(payloads=PAYLOADS, data=st.data())
def test_a_torn_end_is_left_while_somebody_writes_and_damage_afterwards(
    payloads: list[bytes], data: st.DataObject
) -> None:
    raw = file_of(payloads)
    cut = data.draw(st.integers(len(raw) - len(payloads[-1]), len(raw) - 1))
    torn = raw[:cut]
    live = list(frames.read(torn))
    dead = list(frames.read(torn, final=True))
    assert all(isinstance(item, Frame) for item in live)
    assert len(live) == len(payloads) - 1
    assert isinstance(dead[-1], Damage)
    assert dead[-1].ordinal == len(payloads)


def test_offsets_count_from_the_beginning_of_the_file() -> None:
    raw = file_of([b"one", b"two"])
    first = next(iter(frames.read(raw)))
    second = next(iter(frames.read(raw[first.end :], base=first.end)))
    assert second.offset == first.end
    assert second.end == len(raw)
