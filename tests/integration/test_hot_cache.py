"""What Redis takes of a conversation, and what it refuses. A real Valkey runs the scripts."""

from collections.abc import Sequence

import pytest

from devtools.servers.valkey import ValkeyServer
from voice_agent.domain.ids import ConversationId, WriterId
from voice_agent.state.entries import Entry
from voice_agent.state.hot_cache import (
    Appended,
    HotCache,
    Noted,
    Outcome,
    Scribe,
    Standing,
    Tail,
)
from voice_agent.state.hot_client import HotClient
from voice_agent.state.keys import Keys

TALK = ConversationId("talk")
KEYS = Keys(tenant="acme")


@pytest.fixture
def cache(redis_client: HotClient) -> HotCache:
    return HotCache(redis_client, KEYS, ttl_s=60, most=10)


def scribe(name: str, fence: int, *, is_first: bool = False) -> Scribe:
    return Scribe(writer_id=WriterId(name), fence=fence, header=b"{}", is_first=is_first)


ANNA = scribe("anna", 1_763_700_000_000, is_first=True)
BORIS = scribe("boris", 1_763_700_000_001)


def held(tail: Tail) -> list[tuple[str, int, bytes]]:
    return [(entry.writer_id, entry.ordinal, entry.data) for entry in tail.entries]


async def add(cache: HotCache, who: Scribe, first: int, *payloads: bytes) -> Appended:
    return await cache.append(TALK, who, first, payloads)


def stored(held: int) -> Appended:
    return Appended(outcome=Outcome.STORED, held=held)


def seen(held: int) -> Appended:
    return Appended(outcome=Outcome.SEEN, held=held)


def gap(held: int) -> Appended:
    return Appended(outcome=Outcome.GAP, held=held)


async def test_the_next_ordinals_are_appended_byte_by_byte_and_each_once(cache: HotCache) -> None:
    odd = b'{"text": "\x00 \xc3\xa9\\n"}\n with a line'
    assert await add(cache, ANNA, 1, odd, b"two") == stored(2)
    assert await add(cache, ANNA, 2, b"two", b"three") == stored(3)  # half of it is there
    assert await add(cache, ANNA, 1, odd) == seen(3)
    tail = await cache.read(TALK)
    assert held(tail) == [("anna", 1, odd), ("anna", 2, b"two"), ("anna", 3, b"three")]
    assert tail.fence == ANNA.fence
    assert tail.is_whole


async def test_a_gap_is_refused_and_then_refilled_in_order(cache: HotCache) -> None:
    await add(cache, ANNA, 1, b"one")
    assert await add(cache, ANNA, 3, b"three") == gap(1)
    assert await add(cache, ANNA, 2, b"two", b"three") == stored(3)
    assert [ordinal for _, ordinal, _ in held(await cache.read(TALK))] == [1, 2, 3]


async def test_a_newer_writer_takes_the_tail_over_from_its_first_ordinal(cache: HotCache) -> None:
    await add(cache, ANNA, 1, b"one")
    assert await add(cache, BORIS, 2, b"too early") == gap(0)
    assert await add(cache, BORIS, 1, b"hello") == stored(1)
    tail = await cache.read(TALK)
    assert held(tail) == [("anna", 1, b"one"), ("boris", 1, b"hello")]
    assert tail.reached == {"anna": 1, "boris": 1}
    assert tail.is_whole


async def test_a_lower_fence_stores_nothing_and_marks_the_tail_stale(cache: HotCache) -> None:
    await add(cache, ANNA, 1, b"one")
    await add(cache, BORIS, 1, b"hello")
    assert await add(cache, ANNA, 1, b"one") == seen(1)  # what is there already is no news
    assert not (await cache.read(TALK)).is_stale
    answer = await add(cache, ANNA, 2, b"late")
    assert answer == Appended(outcome=Outcome.FENCED, held=BORIS.fence)
    tail = await cache.read(TALK)
    assert tail.is_stale
    assert b"late" not in [data for _, _, data in held(tail)]


async def test_a_fence_that_the_backend_raised_later_changes_nothing(cache: HotCache) -> None:
    await add(cache, ANNA, 1, b"one")
    raised = scribe("anna", ANNA.fence + 50)
    assert await add(cache, raised, 2, b"two") == stored(2)
    assert await add(cache, ANNA, 3, b"three") == stored(3)  # the relay knows the old one
    assert (await cache.read(TALK)).fence == raised.fence


async def test_the_tail_is_trimmed_and_says_so(cache: HotCache) -> None:
    for start in range(1, 41, 4):
        await add(cache, ANNA, start, *(str(start + n).encode() for n in range(4)))
    tail = await cache.read(TALK)
    assert [ordinal for _, ordinal, _ in held(tail)] == list(range(31, 41))
    assert not tail.is_whole
    assert not (await cache.read(TALK, most=3)).is_whole


async def test_after_a_flush_the_tail_begins_anew_and_is_not_whole(
    cache: HotCache, valkey: ValkeyServer
) -> None:
    await add(cache, ANNA, 1, b"one", b"two")
    valkey.flush()
    assert await add(cache, ANNA, 3, b"three") == stored(3)
    tail = await cache.read(TALK)
    assert held(tail) == [("anna", 3, b"three")]
    assert not tail.is_whole


@pytest.mark.parametrize("evicted", [KEYS.head(TALK), KEYS.tail(TALK)])
async def test_half_of_it_is_evicted_and_the_tail_begins_anew(
    cache: HotCache, valkey: ValkeyServer, evicted: str
) -> None:
    await add(cache, ANNA, 1, b"one", b"two")
    valkey.ask("DEL", evicted)
    assert (await cache.read(TALK)).entries == ()
    assert (await cache.note(TALK, ANNA.writer_id, acknowledged=2)).standing is Standing.ABSENT
    assert await add(cache, ANNA, 3, b"three") == stored(3)
    assert held(await cache.read(TALK)) == [("anna", 3, b"three")]


async def test_every_append_extends_the_life_of_all_keys(
    cache: HotCache, valkey: ValkeyServer
) -> None:
    await add(cache, ANNA, 1, b"one")
    names: Sequence[str] = (KEYS.head(TALK), KEYS.tail(TALK))
    for name in names:
        valkey.ask("EXPIRE", name, "5")
    await add(cache, ANNA, 2, b"two")
    assert [valkey.ask("TTL", name) for name in names] == [":60", ":60"]


async def test_what_the_backend_has_is_noted_and_never_taken_back(cache: HotCache) -> None:
    assert await cache.note(TALK, ANNA.writer_id, acknowledged=1) == Noted(
        standing=Standing.ABSENT, held=0
    )
    await add(cache, ANNA, 1, b"one", b"two")
    assert await cache.note(TALK, ANNA.writer_id, acknowledged=2) == Noted(
        standing=Standing.OWNER, held=2
    )
    await cache.note(TALK, ANNA.writer_id, acknowledged=1)
    assert (await cache.read(TALK)).acknowledged == {"anna": 2}
    await add(cache, BORIS, 1, b"hello")
    assert await cache.note(TALK, ANNA.writer_id, acknowledged=2) == Noted(
        standing=Standing.OTHER, held=2
    )


async def test_a_stale_tail_is_rebuilt_by_the_next_writer_alone(cache: HotCache) -> None:
    await add(cache, ANNA, 1, b"one")
    await add(cache, BORIS, 1, b"hello")
    await add(cache, ANNA, 2, b"late")
    entries = [
        Entry(writer_id=ANNA.writer_id, fence=ANNA.fence, ordinal=n, data=b"%d" % n) for n in (1, 2)
    ]
    clara = scribe("clara", BORIS.fence + 1)
    assert not await cache.rebuild(TALK, ANNA, entries, is_whole=True)
    assert await cache.rebuild(TALK, clara, entries, is_whole=True)
    assert not await cache.rebuild(TALK, clara, [], is_whole=True)  # a repeat changes nothing
    assert await add(cache, clara, 1, b"here") == stored(1)
    tail = await cache.read(TALK)
    assert held(tail) == [("anna", 1, b"1"), ("anna", 2, b"2"), ("clara", 1, b"here")]
    assert tail.acknowledged == {"anna": 2}
    assert tail.is_whole
    assert not tail.is_stale


async def test_tenants_share_no_key_and_a_conversation_has_one_slot() -> None:
    names = [KEYS.head(TALK), KEYS.tail(TALK), KEYS.lease(TALK), KEYS.handle(TALK)]
    assert len({name[name.index("{") : name.index("}")] for name in names}) == 1
    assert not set(names) & {Keys(tenant="other").head(TALK), Keys(tenant="other").tail(TALK)}
