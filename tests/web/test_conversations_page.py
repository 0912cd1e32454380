"""The conversations page in a real Chromium, against the real backend: no stub knows the stream."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from tests.backend.log_client import Log, event, message, ok
from tests.backend.process import Backend
from tests.web.browser import CallPage, browser, call_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]


@pytest.fixture
def server(tmp_path: Path, pages: Path) -> Iterator[Backend]:
    running = Backend(tmp_path, VOICE_BACKEND__WEB_FOLDER=str(pages), VOICE_BACKEND__LEASE_S="60")
    running.start()
    yield running
    running.kill()


@pytest.fixture
def http(server: Backend) -> Iterator[httpx.Client]:
    with server.client(server.token()) as client:
        yield client


@pytest.fixture
async def tab(chromium: Path) -> AsyncIterator[CallPage]:
    async with browser() as running, call_page(running) as opened:
        yield opened


def talk(http: httpx.Client) -> Log:
    """A call with a tool, delays, an error and a clear."""
    log = Log.resolve(http, "caller-ada")
    ada = {"identity": "ada", "name": "Ada"}
    tool = {"call_id": "c", "name": "find_parcel", "turn_id": "t1"}
    log.register("w")
    log.store(
        "w",
        event(1, "participant_joined", participant=ada),
        event(2, "turn_started", turn_id="t1", initiator="user"),
        message(
            3, text="where is my parcel", turn_id="t1", speaker={"identity": "ada", "name": "Ada"}
        ),
        event(4, "tool_call", arguments='{"id": 7}', **tool),
        event(
            5, "tool_result", call_id="c", name="find_parcel", output="on its way", is_error=False
        ),
        message(6, "assistant", text="It is on its way.", turn_id="t1", interrupted=True),
        event(7, "turn_ended", turn_id="t1", outcome="completed", delays={"e2e_s": 0.57}),
        event(8, "error", source="tts", error_type="Timeout", recoverable=True, detail="slow"),
    )
    ok(http.post(f"{log.path}/clear", json={"event_id": "clear-1", "reason": "asked"}))
    log.store("w", message(9, text="a new beginning", session_number=1))
    return log


async def open_page(tab: CallPage, server: Backend, scope: str = "read") -> None:
    await tab.page.goto(f"{server.url}/conversations.html#token={server.token(scope)}")


async def test_a_conversation_is_shown_whole_and_goes_on_live(
    tab: CallPage, server: Backend, http: httpx.Client
) -> None:
    log = talk(http)
    await open_page(tab, server)
    await tab.part("conversation").get_by_text("caller-ada").click()
    await expect(tab.part("event")).to_have_count(10)
    await expect(tab.part("session")).to_have_text(["Session 0", "Session 1"])
    await expect(tab.part("delay")).to_have_text("end to end 0.57 s")
    await expect(tab.part("log")).to_contain_text('find_parcel({"id": 7})')
    await expect(tab.part("link")).to_have_text("live")
    log.store(
        "w",
        message(10, text="said just now <b>&amp;</b>", session_number=1),
        event(11, "agent_state", state="speaking"),
    )
    await expect(tab.part("log")).to_contain_text("said just now <b>&amp;</b>")
    log.beat("w")
    await expect(tab.part("agent")).to_have_text("agent speaking", timeout=15_000)
    assert tab.complaints == []
    assert "token" not in tab.page.url


async def test_the_page_comes_back_by_itself_when_the_backend_was_away(
    tab: CallPage, server: Backend, http: httpx.Client
) -> None:
    log = talk(http)
    await open_page(tab, server)
    await tab.part("conversation").click()
    await expect(tab.part("event")).to_have_count(10)
    server.kill()
    await expect(tab.part("link")).not_to_have_text("live")
    server.start()
    with server.client(server.token()) as again:
        Log(again, log.id).store("w", message(10, text="after the outage", session_number=1))
    await expect(tab.part("log")).to_contain_text("after the outage", timeout=20_000)
    await expect(tab.part("event")).to_have_count(11)
    await expect(tab.part("link")).to_have_text("live")


async def test_filters_leave_what_was_chosen(
    tab: CallPage, server: Backend, http: httpx.Client
) -> None:
    talk(http)
    await open_page(tab, server)
    await tab.part("conversation").click()
    await expect(tab.part("event")).to_have_count(10)
    await tab.part("session-filter").select_option("Session 1")
    await expect(tab.part("event")).to_have_count(2)
    await tab.part("session-filter").select_option("All sessions")
    for group in ("messages", "turns", "people", "trouble", "rest"):
        await tab.part(f"show-{group}").uncheck()
    await expect(tab.part("event")).to_have_count(2)
    await tab.part("show-tools").uncheck()
    await expect(tab.part("empty")).to_have_text("Nothing passes the filter.")


async def test_a_search_leads_to_the_message_also_when_it_is_not_on_the_page_yet(
    tab: CallPage, server: Backend, http: httpx.Client
) -> None:
    log = talk(http)
    for start in range(100, 900, 400):
        log.store("w", *(event(n, session_number=1) for n in range(start, start + 400)))
    await open_page(tab, server)
    await tab.part("conversation").click()
    await expect(tab.part("event")).to_have_count(300)
    await tab.part("query").fill("PARCEL")
    await tab.part("query").press("Enter")
    await expect(tab.part("hit")).to_have_count(1)
    await tab.part("hit").locator("button").click()
    found = tab.page.locator("[data-found]")
    await expect(found).to_contain_text("where is my parcel")
    await expect(found).to_be_in_viewport()
    await expect(tab.part("event")).to_have_count(810)


async def test_what_cannot_be_read_is_said_with_a_remedy(
    tab: CallPage, server: Backend, http: httpx.Client
) -> None:
    await tab.page.goto(f"{server.url}/conversations.html")
    await expect(tab.part("notice")).to_contain_text("Open it through the full link")
    await tab.page.goto(f"{server.url}/conversations.html#token=wrong")
    await expect(tab.part("notice")).to_contain_text("Ask for a fresh link")


def test_a_page_is_asked_for_again_each_time(server: Backend) -> None:
    for path in ("/", "/conversations.html"):
        assert httpx.get(server.url + path).headers["cache-control"] == "no-cache"
    page = httpx.get(f"{server.url}/conversations.html").text
    asset = page.split('src="')[1].split('"')[0]
    assert "no-cache" not in httpx.get(f"{server.url}/{asset}").headers.get("cache-control", "")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_nothing_overflows_the_window(
    tab: CallPage, server: Backend, http: httpx.Client, width: int, height: int, tmp_path: Path
) -> None:
    talk(http)
    await tab.page.set_viewport_size({"width": width, "height": height})
    await open_page(tab, server)
    await tab.part("conversation").click()
    await expect(tab.part("event")).to_have_count(10)
    await tab.page.screenshot(path=tmp_path / f"page-{width}.png")
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width
