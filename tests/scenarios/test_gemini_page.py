"""A call with Gemini's stand-in, seen on the page: each renewal of its session, as it happens."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from devtools.system import System
from simulators.gemini.behaviour import Behaviour, Refusal
from simulators.gemini.certificate import contexts
from simulators.gemini.senses import Listening, beeps
from simulators.gemini.server import GeminiServer
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_gemini_worker import chosen
from tests.scenarios.test_outages import calling_on
from tests.support.waiting import wait_for
from tests.web.browser import CallPage, browser, call_page
from tests.web.conftest import pages

__all__ = ["pages"]
pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]
WITHIN_MS = 30_000


async def test_the_page_shows_each_reconnect_and_its_outcome(
    start_system: Callable[..., System], pages: Path, spoken: Path, tmp_path: Path
) -> None:
    async def understand(_: bytes) -> str:
        return "my name is ada"

    server = GeminiServer(
        behaviour=Behaviour(), ears=Listening(understand), voice=beeps, tls=contexts(tmp_path)
    )
    async with server.serving():
        system = start_system(worker_environ=chosen(server, tmp_path))
        async with (
            browser() as chrome,
            call_page(chrome) as tab,
            calling_on(system) as calling,
            calling.call() as (call, caller),
        ):
            token = system.backend.create_token("read")
            await tab.page.goto(
                f"{system.backend.url}/conversations.html?id={call.conversation_id}#token={token}"
            )
            await expect(tab.part("link-state")).to_have_text("Live")
            await caller.say(spoken / "my_name.wav")
            await until(lambda: answered(calling, call.conversation_id))
            await wait_for(lambda: server.now.is_idle, within_s=10)
            server.now.cut()
            await expect(reconnects(tab).nth(0)).to_contain_text(
                "gemini · resumed · lost (1006) · after 0.", timeout=WITHIN_MS
            )
            await expect(reconnects(tab).nth(0)).to_contain_text("tokens not replayed")
            server.behaviour.refusals = [Refusal(code=1008)]
            server.now.cut()
            await expect(reconnects(tab).nth(1)).to_contain_text(
                "gemini · reseeded · lost (1006)", timeout=WITHIN_MS
            )
            await tab.page.screenshot(path=tmp_path / "reconnects.png", full_page=True)
            assert tab.complaints == []


def reconnects(tab: CallPage) -> Locator:
    return tab.page.locator('[data-testid="event"][data-kind="reconnect"]')


async def answered(calling: Calling, conversation: str) -> bool:
    """Whether the greeting and an answer are there."""
    return len(texts(await calling.outside.messages(conversation), "assistant")) >= 2
