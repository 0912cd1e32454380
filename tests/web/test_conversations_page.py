"""The conversations page in a real Chromium, with a real backend behind it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Locator, Route, expect

from tests.backend.log_client import Json, Log, event, fresh, message, ok
from tests.backend.process import Backend
from tests.web.browser import CallPage, browser, call_page
from tests.web.events import ADA, everything, nth, spent_turn, turn

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

_OPENS_MS = 3_000


@pytest.fixture(scope="module")
def backend(pages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend that serves the built pages; no LiveKit: nobody calls here."""
    server = Backend(
        tmp_path_factory.mktemp("backend"),
        VOICE_BACKEND__WEB_FOLDER=str(pages),
        VOICE_BACKEND__LEASE_S="30",  # no test sends heartbeats
    )
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def token(backend: Backend) -> str:
    return backend.token()


@pytest.fixture
def http(backend: Backend, token: str) -> Iterator[httpx.Client]:
    with backend.client(token) as client:
        yield client


@pytest.fixture
def log(http: httpx.Client) -> Log:
    """A conversation with a running writer."""
    log = Log.resolve(http, fresh("Support of Ada"))
    log.register("w")
    return log


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest.fixture
async def tab(chrome: Browser) -> AsyncIterator[CallPage]:
    async with call_page(chrome) as opened:
        yield opened


async def test_the_list_shows_the_newest_first_by_pages_and_opens_one(
    tab: CallPage, backend: Backend
) -> None:
    tenant = fresh("listed")
    token = backend.token(tenant=tenant)
    with backend.client(token) as http:
        made = [Log.resolve(http, f"Caller {n}").id for n in range(60)]
        reading = backend.token("read", tenant=tenant)
        await tab.page.goto(f"{backend.url}/conversations.html#token={reading}")
        rows = tab.part("conversation")
        await expect(rows).to_have_count(50)
        await tab.part("more-conversations").click()
        await expect(rows).to_have_count(60)
        await expect(tab.part("more-conversations")).to_be_hidden()
        shown = await rows.evaluate_all("items => items.map((item) => item.dataset.id)")
        assert sorted(shown) == sorted(made)
        listed = ok(http.get("/v1/conversations", params={"limit": 200}))["items"]
        assert shown == [each["id"] for each in listed]
        Log.resolve(http, "Newcomer").register("w")
    await expect(rows).to_have_count(61, timeout=15_000)
    await expect(rows.first).to_contain_text("Newcomer")
    await expect(rows.first.get_by_test_id("running")).to_be_visible(timeout=15_000)
    assert reading not in tab.page.url
    await rows.first.get_by_role("link").click()
    await expect(tab.part("title")).to_have_text("Newcomer")
    assert tab.complaints == []


async def test_a_running_conversation_appears_live_in_conversation_order(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", *turn(1, "t1", "My name is <b>Ada</b>.", "Nice to meet you, Ada."))
    await _open(tab, backend, token, log)
    await expect(_words(tab)).to_have_text(["My name is <b>Ada</b>.", "Nice to meet you, Ada."])
    # The reply is stored before the transcript of what it answers.
    log.store(
        "w",
        event(5, "turn_started", turn_id="t2", initiator="user", speaker=ADA),
        message(6, "assistant", "It is raining.", turn_id="t2", interrupted=True),
        event(7, "agent_state", state="speaking"),
    )
    await expect(_words(tab).last).to_have_text("It is raining.")
    await expect(tab.part("activity")).to_have_text("The agent is speaking")
    typed = {"speaker": ADA, "modality": "text", "turn_id": "t2"}
    log.store("w", message(8, "user", "How is the weather?", **typed))
    expected = [
        "My name is <b>Ada</b>.",
        "Nice to meet you, Ada.",
        "How is the weather?",
        "It is raining.",
    ]
    await expect(_words(tab)).to_have_text(expected)
    assert log.texts() == expected
    lines = tab.part("message")
    await expect(lines.nth(2)).to_contain_text("Ada")
    await expect(lines.nth(2)).to_contain_text("typed")
    await expect(lines.nth(3)).to_contain_text("interrupted")
    await expect(lines.nth(1)).to_contain_text("answer after 0.70 s")
    log.end("w")
    await expect(tab.part("activity")).to_be_hidden()
    await expect(_kinds(tab, "call_ended")).to_have_count(1)
    await expect(tab.part("facts")).to_contain_text("no call")
    await expect(tab.part("event")).to_have_count(len(log.events()))
    assert tab.complaints == []


async def test_a_thousand_events_open_fast_and_are_paged(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    for first in range(1, 1001, 500):
        log.store("w", *(nth(n) for n in range(first, first + 500)))
    await tab.page.goto(_link(backend, token, log))
    rows = tab.part("event")
    await expect(rows).to_have_count(200, timeout=_OPENS_MS)
    await expect(rows.last).to_be_in_viewport(timeout=_OPENS_MS)
    await expect(rows.last).to_contain_text("thought 1000")
    await expect(tab.part("message")).to_have_count(50)
    await expect(_words(tab).last).to_have_text("user 991")
    for count in (400, 600, 800, 1000):
        await tab.part("older-events").click()
        await expect(rows).to_have_count(count)
    await expect(tab.part("older-events")).to_be_hidden()
    await expect(rows.first).to_contain_text("user 1")
    await tab.part("older-messages").click()
    await expect(tab.part("message")).to_have_count(100)
    assert await _words(tab).all_text_contents() == log.texts()
    assert tab.complaints == []


async def test_events_are_filtered_by_kind_session_and_time_also_when_they_come_live(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    early = {"at": "2026-11-20T04:00:00.000Z"}
    log.store("w", event(1, "error", source="LLM", error_type="Timeout", **early))
    log.store("w", *(event(n) for n in range(2, 302)))
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1"}))
    log.store("w", event(302, "error", source="TTS", error_type="Refused", session_number=1))
    await _open(tab, backend, token, log)
    await expect(tab.part("event")).to_have_count(200)
    await tab.part("filters").click()
    await tab.part("kind-error").check()
    rows = tab.part("event")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("Timeout")
    log.store(
        "w",
        event(303, session_number=1),
        event(304, "error", source="STT", error_type="Silence", session_number=1),
    )
    await expect(rows).to_have_count(3)
    await expect(rows.last).to_contain_text("Silence")
    await tab.part("filter-session").select_option("0")
    await expect(rows).to_have_count(1)
    await expect(tab.part("filters-said")).to_have_text("error · session 0")
    await tab.part("filter-session").select_option("")
    await tab.part("filter-from").fill("2026-11-21T00:00:00")
    await expect(rows).to_have_count(2)
    await tab.part("filter-reset").click()
    await expect(rows).to_have_count(200)
    await expect(tab.part("filters-said")).to_have_text("")


async def test_a_cleared_session_is_a_boundary_in_the_transcript_and_in_the_log(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", *turn(1, "t1", "Forget this.", "I will."))
    await _open(tab, backend, token, log)
    await expect(tab.part("session-divider")).to_have_count(0)
    ok(log.http.post(f"{log.path}/clear", json={"event_id": "c1", "reason": "asked"}))
    await expect(_kinds(tab, "context_cleared")).to_contain_text("session 1 begins · asked")
    await expect(tab.part("facts")).to_contain_text("2 sessions")
    log.store("w", message(5, "user", "Who am I?", session_number=1, speaker=ADA))
    await expect(tab.part("session-divider")).to_have_text(["Session 1"])
    order = await tab.page.locator("#messages > li").evaluate_all(
        "items => items.map((item) => item.dataset.testid)"
    )
    assert order == ["message", "message", "session-divider", "message"]
    await tab.page.reload()
    await expect(tab.part("session-divider")).to_have_text(["Session 1"])


async def test_what_tools_and_turns_did_is_told_in_words(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", *everything())
    await _open(tab, backend, token, log)
    for kind, words in {
        "tool_call": 'current_time({"city":"Tokyo"})',
        "tool_result": "current_time → It is 12:00.",
        "turn_ended": "completed · answer after 0.70 s · first token 0.30 s",
        "summary": "Ada said her name.",
        "error": "LLM · Timeout · recoverable",
        "participant_joined": "Ada",
        "participant_left": "client initiated",
        "reconnect": "gemini · resynced · lost (1006) · 2 items sent · after 0.31 s"
        " · 900 tokens not replayed",
    }.items():
        await expect(_kinds(tab, kind).first).to_contain_text(words)
    await _kinds(tab, "tool_call").locator("summary").click()
    await expect(_kinds(tab, "tool_call").locator("pre")).to_contain_text('"call_id": "call-1"')


@pytest.mark.parametrize(
    ("wrong", "headline"),
    [
        ("token", "This link is not valid, or has expired"),
        ("none", "This page needs its link"),
        ("conversation", "That conversation is not there"),
    ],
)
async def test_who_may_not_read_is_told_why(
    tab: CallPage, backend: Backend, token: str, log: Log, wrong: str, headline: str
) -> None:
    fragment = {"token": "#token=wrong", "none": "", "conversation": f"#token={token}"}[wrong]
    id_ = "unknown" if wrong == "conversation" else log.id
    await tab.page.goto(f"{backend.url}/conversations.html?id={id_}{fragment}")
    await expect(tab.part("problem")).to_contain_text(headline)
    if wrong != "conversation":
        await tab.page.goto(f"{backend.url}/conversations.html{fragment}")
        await expect(tab.part("problem")).to_contain_text(headline)


async def test_a_backend_that_comes_back_is_followed_on_without_gap_or_overlap(
    tab: CallPage, pages: Path, tmp_path: Path
) -> None:
    backend = Backend(tmp_path, VOICE_BACKEND__WEB_FOLDER=str(pages)).start()
    try:
        token = backend.token()
        with backend.client(token) as http:
            log = Log.resolve(http)
            log.register("w")
            log.store("w", message(1), message(2))
            await _open(tab, backend, token, log)
            await expect(tab.part("message")).to_have_count(2)
            backend.kill()
            await expect(tab.part("link-state")).to_have_text("Reconnecting…")
            await expect(tab.part("problem")).to_contain_text("does not answer")
            backend.start()
        with backend.client(token) as http:
            log = Log(http, log.id)
            log.store("w", message(3), message(4))
            await expect(tab.part("link-state")).to_have_text("Live", timeout=30_000)
            log.store("w", message(5))
            await expect(_words(tab)).to_have_text([f"user {n}" for n in range(1, 6)])
            await expect(tab.part("event")).to_have_count(len(log.events()))
            await expect(tab.part("problem")).to_be_hidden()
    finally:
        backend.kill()


async def test_a_page_whose_place_in_the_log_was_pruned_goes_on_by_itself(
    tab: CallPage, pages: Path, tmp_path: Path
) -> None:
    """It comes back with a cursor that retention has passed: it is told where to go on."""
    settings = {"VOICE_BACKEND__WEB_FOLDER": str(pages), "VOICE_BACKEND__LEASE_S": "0.2"}
    keeps = Backend(tmp_path, VOICE_BACKEND__RETENTION_EVENTS="0", **settings).start()
    prunes = Backend(tmp_path, VOICE_BACKEND__RETENTION_EVENTS="5",
                     VOICE_BACKEND__RETENTION_LOOK_S="0.1", **settings)  # fmt: skip
    prunes.port, prunes.url = keeps.port, keeps.url
    try:
        token = keeps.token()
        with keeps.client(token) as http:
            log = Log.resolve(http)
            log.register("w")
            log.store("w", *(message(n) for n in range(1, 11)))
            await _open(tab, keeps, token, log)
            await expect(tab.part("message")).to_have_count(10)
            keeps.kill()
            await expect(tab.part("link-state")).to_have_text("Reconnecting…")
            await tab.page.context.set_offline(True)
        prunes.start()
        with prunes.client(token) as http:
            log = Log(http, log.id)
            log.store("w", *(message(n) for n in range(11, 31)))
            async with asyncio.timeout(15):
                while len(log.events()) > 5:
                    await asyncio.sleep(0.05)
            await tab.page.context.set_offline(False)
            await expect(_words(tab).last).to_have_text("user 30", timeout=30_000)
            await expect(tab.part("link-state")).to_have_text("Live")
            await expect(tab.part("problem")).to_be_hidden()
            log.store("w", message(31))
            shown = [f"user {n}" for n in (*range(1, 11), *range(26, 32))]
            await expect(_words(tab)).to_have_text(shown)
        await tab.page.reload()
        await expect(_words(tab).last).to_have_text("user 31")
        await expect(tab.part("problem")).to_be_hidden()
    finally:
        keeps.kill()
        prunes.kill()


async def test_a_link_that_may_not_read_is_one_line_and_is_not_asked_again(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    """Our own tokens may all read; a proxy before another backend may think otherwise."""
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.url)
        problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "errors": [],
                   "detail": "this token may not read", "code": "scope"}  # fmt: skip
        await route.fulfill(status=403, json=problem, content_type="application/problem+json")

    await tab.page.route(re.compile(r"/v1/"), refuse)
    await tab.page.goto(f"{backend.url}/conversations.html?id={log.id}#token={token}")
    await expect(tab.part("problem")).to_contain_text("This link may not read conversations")
    await expect(tab.part("problem")).to_have_count(1)
    await expect(tab.part("link-state")).not_to_have_text("Live")
    count = len(asked)
    await tab.page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(tab.part("problem")).to_contain_text("Ask for a link with a token of scope read")
    assert len(asked) == count


async def test_search_leads_to_an_old_message(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", *(message(n, text=f"We spoke of matter {n}.") for n in range(1, 301)))
    await _open(tab, backend, token, log)
    await tab.part("search-words").fill("matter 7")
    line = tab.part("message").filter(has_text="matter 7.")
    await expect(line).to_have_count(0)
    hit = tab.part("hit").filter(has_text="matter 7.")
    async with asyncio.timeout(15):  # messages are indexed a moment after they are stored
        while await hit.count() == 0:
            await tab.part("search-words").press("Enter")
            await expect(tab.part("search-said")).not_to_have_text("Searching…")
    await hit.click()
    await expect(line).to_be_in_viewport()
    await expect(line).to_be_focused()
    await tab.part("search-words").fill("nobody said this")
    await tab.part("search-words").press("Enter")
    await expect(tab.part("search-said")).to_have_text("Nothing was found.")
    assert tab.complaints == []


async def test_a_backend_without_search_is_no_error(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=501, json={"status": 501, "detail": "not built yet"})

    await tab.page.route(re.compile(r"/search\?"), refuse)
    await _open(tab, backend, token, log)
    await tab.part("search-words").fill("anything")
    await tab.part("search-words").press("Enter")
    await expect(tab.part("search-said")).to_have_text("Search is not available on this server.")
    await expect(tab.part("problem")).to_be_hidden()


async def test_the_call_page_and_this_page_lead_to_each_other(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", message(1, text="Remember me."))
    await _open(tab, backend, token, log)
    await tab.part("call-link").click()
    await expect(tab.part("start-button")).to_have_text("Continue")
    await expect(tab.lines("me")).to_have_text(["Remember me."])
    async with tab.page.context.expect_page() as opening:
        await tab.part("record-link").click()
    other = CallPage(page=await opening.value)
    await expect(_words(other)).to_have_text(["Remember me."])


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wider_than_the_screen_and_a_phone_shows_one_view_at_a_time(
    chrome: Browser, backend: Backend, token: str, log: Log, width: int
) -> None:
    log.store("w", *everything(), message(50, text="unbroken" * 60))
    async with call_page(chrome, width=width, height=740) as tab:
        await _open(tab, backend, token, log)
        await expect(tab.part("message").last).to_be_visible()
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 360:
            await expect(tab.part("event").first).to_be_hidden()
            await tab.part("view-events").focus()
            await tab.page.keyboard.press("Enter")
        await expect(tab.part("event").last).to_be_visible()
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_is_asked_for_again_each_time(backend: Backend) -> None:
    for path in ("/", "/conversations.html"):
        assert httpx.get(backend.url + path).headers["cache-control"] == "no-cache"
    page = httpx.get(f"{backend.url}/conversations.html").text
    asset = page.split('src="')[1].split('"')[0]
    assert "no-cache" not in httpx.get(f"{backend.url}/{asset}").headers.get("cache-control", "")


def _link(backend: Backend, token: str, log: Log) -> str:
    return f"{backend.url}/conversations.html?id={log.id}#token={token}"


async def test_what_was_used_up_is_there_in_one_line_and_for_each_model_and_call(
    tab: CallPage, backend: Backend, token: str, log: Log
) -> None:
    log.store("w", *turn(1, "t1", "Hello.", "Hi."))
    await _open(tab, backend, token, log)
    await expect(_words(tab)).to_have_count(2)
    await expect(tab.part("usage")).to_be_hidden()
    log.store("w", *spent_turn(10, input_tokens=1200, output_tokens=34))
    said = tab.part("usage-said")
    await expect(said).to_have_text("1,200 tokens read, 34 written · 2.5 s heard")
    log.register("w2", room="room-2")
    log.store("w2", *spent_turn(20, input_tokens=300, output_tokens=6))
    await expect(said).to_have_text("1,500 tokens read, 40 written · 5.0 s heard")
    await said.click()
    await expect(tab.part("usage-all").get_by_test_id("used")).to_have_text(
        [
            re.compile("Language model.*openai.*2 requests · 1,500 tokens read · 40 tokens written"),
            re.compile("Recognition.*2 requests · 5.0 s of speech"),
        ]
    )
    calls = tab.part("usage-calls").get_by_test_id("call-usage")
    await expect(calls).to_contain_text(["Room room-2", "Call of"])
    await expect(calls.first).to_contain_text("300 tokens read")
    assert tab.complaints == []


async def test_many_calls_come_by_pages(
    tab: CallPage, backend: Backend, token: str, http: httpx.Client
) -> None:
    log = Log.resolve(http, fresh("Many calls"))
    for n in range(60):
        log.register(f"w{n}", room=f"room-{n}")
        log.store(f"w{n}", *spent_turn(100 + 2 * n, input_tokens=1))
    await _open(tab, backend, token, log)
    await tab.part("usage-said").click()
    calls = tab.part("call-usage")
    await expect(calls).to_have_count(50)
    await tab.part("older-usage").click()
    await expect(calls).to_have_count(60)
    await expect(tab.part("older-usage")).to_be_hidden()
    await expect(calls.last).to_contain_text("Room room-0,")
    assert tab.complaints == []


async def _open(tab: CallPage, backend: Backend, token: str, log: Log) -> None:
    await tab.page.goto(_link(backend, token, log))
    await expect(tab.part("link-state")).to_have_text("Live")


def _words(tab: CallPage) -> Locator:
    return tab.page.locator('[data-testid="message"] .words')


def _kinds(tab: CallPage, kind: str) -> Locator:
    return tab.page.locator(f'[data-testid="event"][data-kind="{kind}"]')
