"""A session that goes on in another process, from bytes or from a store of handles."""

import json

import pytest

from tests.gemini.talking import Talk, both_remember, serving, talking, told
from tests.support.waiting import wait_for

HELLO = (("user", "hello there"), ("model", "You said hello there"))
AGAIN = (("user", "again"), ("model", "You said again"))


class KeptHandles:
    """A store that gives what it keeps once."""

    def __init__(self) -> None:
        self.payload: bytes | None = None
        self.saved_count = 0

    async def save(self, payload: bytes, ttl_s: float) -> None:
        assert ttl_s > 3600
        self.payload = payload
        self.saved_count += 1

    async def take(self) -> bytes | None:
        payload, self.payload = self.payload, None
        return payload


def kinds(talk: Talk) -> list[str]:
    return [one.kind for one in talk.outcomes]


async def test_another_process_resumes_and_sends_only_the_difference() -> None:
    """S2.9: handle, baseline and instant of issue are kept together."""
    async with serving() as server:
        async with talking(server) as talk:
            talk.say("hello there")
            await both_remember(server, talk, *HELLO)
            payload, context = talk.session.save(), talk.session.chat_ctx
        async with talking(server, resume=payload) as talk:
            context.add_message(role="user", content="came later")
            await talk.session.update_chat_ctx(context)
            await wait_for(lambda: kinds(talk) == ["resynced"])
            assert talk.outcomes[0].sent_count == 1
            await both_remember(server, talk, *HELLO, ("user", "came later"))
            talk.say("again")
            await both_remember(server, talk, *AGAIN)


async def test_a_store_of_handles_brings_the_session_over_and_gives_each_handle_once() -> None:
    handles = KeptHandles()
    async with serving() as server:
        async with talking(server, handles=handles) as talk:
            talk.say("hello there")
            await both_remember(server, talk, *HELLO)
            await wait_for(lambda: handles.payload)
            context = talk.session.chat_ctx
        async with talking(server, handles=handles) as talk:
            await talk.session.update_chat_ctx(context)
            await wait_for(lambda: kinds(talk) == ["resumed"])
            assert handles.payload is None
            assert server.now.received == []
            talk.say("again")
            await both_remember(server, talk, *HELLO, *AGAIN)
            await wait_for(lambda: handles.payload)


async def test_a_window_that_was_trimmed_by_the_next_process_is_resumed_all_the_same() -> None:
    async with serving() as server:
        async with talking(server) as talk:
            await talk.type("one", ask=False)
            talk.say("hello there")
            await both_remember(server, talk, ("user", "one"), *HELLO)
            payload, context = talk.session.save(), talk.session.chat_ctx
        async with talking(server, resume=payload) as talk:
            del context.items[0]
            await talk.session.update_chat_ctx(context)
            await wait_for(lambda: kinds(talk) == ["resumed"])
            assert server.conversation.said == [("user", "one"), *told(talk.session)]


@pytest.mark.parametrize(
    "change",
    [{"issued_at": 0.0}, {"where": "gemini|||another-model"}, {"v": 2}, {"handle": ""}, None],
    ids=["old", "of another model", "of a later version", "without a handle", "torn"],
)
async def test_saved_bytes_that_cannot_be_trusted_begin_a_session_with_the_history(
    change: dict[str, object] | None,
) -> None:
    async with serving() as server:
        async with talking(server) as talk:
            talk.say("hello there")
            await both_remember(server, talk, *HELLO)
            payload, context = talk.session.save(), talk.session.chat_ctx
        saved = (
            b"torn" if change is None else json.dumps({**json.loads(payload), **change}).encode()
        )
        async with talking(server, resume=saved) as talk:
            await talk.session.update_chat_ctx(context)
            await both_remember(server, talk, *HELLO)
            assert (server.now.setup.get("sessionResumption") or {}).get("handle") is None


async def test_a_conversation_that_was_cleared_meanwhile_is_not_resumed() -> None:
    async with serving() as server:
        async with talking(server) as talk:
            talk.say("hello there")
            await both_remember(server, talk, *HELLO)
            payload = talk.session.save()
        async with talking(server, resume=payload) as talk:
            talk.say("again")
            await both_remember(server, talk, *AGAIN)
            assert server.conversation.said == list(AGAIN)
