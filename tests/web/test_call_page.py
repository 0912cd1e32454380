"""The call page's words and buttons for what goes wrong, in a real Chromium."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.web.browser import CallPage, browser, call_page
from tests.web.stub_backend import Answer, StubBackend, problem, stub_backend

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

_NOWHERE = "ws://127.0.0.1:9"  # the discard port: nobody listens
_GRANTED = {
    "url": _NOWHERE,
    "token": "room-token",
    "room": "room-1",
    "conversation_id": "conversation-1",
    "identity": "caller-1",
}


@pytest.fixture
def backend(pages: Path) -> Iterator[StubBackend]:
    with stub_backend(pages, livekit_url=_NOWHERE) as stub:
        yield stub


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest.fixture
async def tab(chrome: Browser) -> AsyncIterator[CallPage]:
    async with call_page(chrome) as opened:
        yield opened


async def _start(tab: CallPage, backend: StubBackend) -> None:
    await tab.page.goto(f"{backend.url}#token=secret")
    await tab.part("start-typing-button").click()


async def test_the_token_leaves_the_address_bar_and_survives_a_reload(
    tab: CallPage, backend: StubBackend
) -> None:
    await tab.page.goto(f"{backend.url}#token=secret&name=Ada")
    await expect(tab.part("start-button")).to_be_visible()
    assert tab.page.url == backend.url
    await tab.page.reload()
    await tab.part("start-typing-button").click()
    await expect(tab.body(problem="conversation_unknown")).to_be_visible()
    asked = backend.asked[-1]
    assert asked.authorization == "Bearer secret"
    assert asked.body == {"name": "Ada"}


async def test_without_a_token_the_page_says_what_is_missing_until_a_link_is_opened(
    tab: CallPage, backend: StubBackend
) -> None:
    await tab.page.goto(backend.url)
    await expect(tab.part("headline")).to_have_text("This page needs its link")
    await expect(tab.part("start-button")).to_be_hidden()
    await tab.page.goto(f"{backend.url}#token=secret")
    await expect(tab.part("start-button")).to_be_visible()
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("answer", "headline", "detail"),
    [
        (problem(401, "token expired"), "Your link has expired", "fresh link"),
        (problem(403, "scope"), "This link may not call", "made for calls"),
        (problem(404, "unknown"), "That conversation is not there", "new one"),
        (problem(429, "slow", retry_after_s=3), "The server is busy", "in 3 s"),
        (problem(503, "LiveKit is away"), "The server is busy", "LiveKit is away"),
        (Answer(status=500), "Something went wrong on the server", "Try again"),
        (Answer(status=201, body={}), "Something went wrong on the server", "incomplete"),
    ],
    ids=["401", "403", "404", "429", "503", "500", "incomplete"],
)
async def test_a_refused_call_is_explained_and_can_be_tried_again(
    tab: CallPage, backend: StubBackend, answer: Answer, headline: str, detail: str
) -> None:
    backend.answers["POST /v1/calls"] = answer
    await _start(tab, backend)
    await expect(tab.part("headline")).to_have_text(headline)
    await expect(tab.part("detail")).to_contain_text(detail)
    await expect(tab.part("start-button")).to_be_visible()


async def test_a_backend_that_is_gone_is_named(tab: CallPage, backend: StubBackend) -> None:
    await tab.page.goto(f"{backend.url}#token=secret")
    await tab.page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    await tab.part("start-typing-button").click()
    await expect(tab.part("headline")).to_have_text("The server does not answer")
    await expect(tab.part("start-button")).to_have_text("Try again")


async def test_a_call_server_that_is_gone_is_named(tab: CallPage, backend: StubBackend) -> None:
    backend.answers["POST /v1/calls"] = Answer(status=201, body=_GRANTED)
    await _start(tab, backend)
    await expect(tab.part("headline")).to_have_text(
        "The call server does not answer", timeout=20_000
    )


async def test_a_refused_microphone_does_not_stop_the_call_from_beginning(
    tab: CallPage, backend: StubBackend
) -> None:
    backend.answers["POST /v1/calls"] = problem(503, "asked for a call")
    # Without a fake permission dialogue headless Chromium refuses the microphone by itself.
    await tab.page.goto(f"{backend.url}#token=secret")
    await tab.part("start-button").click()
    await expect(tab.part("detail")).to_contain_text("asked for a call")


async def test_earlier_messages_are_shown_when_the_tab_comes_back(
    tab: CallPage, backend: StubBackend
) -> None:
    backend.answers["POST /v1/calls"] = Answer(status=201, body=_GRANTED)
    backend.answers["GET /v1/conversations/conversation-1/messages"] = Answer(
        body={"items": _MESSAGES, "next": None}
    )
    await _start(tab, backend)
    await expect(tab.body(problem="livekit_away")).to_be_visible(timeout=20_000)
    await tab.page.reload()
    await expect(tab.lines("me")).to_have_text(["My name is Ada.", "What is my name?"])
    await expect(tab.lines("agent")).to_have_text(["Nice to meet you, Ada.", "Your name is Ada."])
    await expect(tab.part("start-button")).to_have_text("Continue")
    await tab.part("new-conversation-button").click()
    await expect(tab.part("line")).to_have_count(0)
    await expect(tab.part("start-button")).to_have_text("Start call")


async def test_the_page_is_operated_by_keyboard_alone(tab: CallPage, backend: StubBackend) -> None:
    backend.answers["POST /v1/calls"] = problem(503, "asked for a call")
    await tab.page.goto(f"{backend.url}#token=secret")
    await expect(tab.part("start-button")).to_be_visible()
    await tab.page.keyboard.press("Tab")
    await expect(tab.part("start-button")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("detail")).to_contain_text("asked for a call")
    await expect(tab.part("start-button")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wider_than_the_screen(
    chrome: Browser, backend: StubBackend, width: int
) -> None:
    backend.answers["POST /v1/calls"] = problem(503, "unbroken" * 40)
    async with call_page(chrome, width=width, height=640) as tab:
        await _start(tab, backend)
        await expect(tab.body(problem="backend_busy")).to_be_visible()
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width


def _message(event_id: str, role: str, text: str) -> dict[str, object]:
    speaker = {"identity": "caller-1", "name": "Ada"} if role == "user" else None
    return {
        "event_id": event_id,
        "kind": "message",
        "role": role,
        "text": text,
        "speaker": speaker,
        "interrupted": False,
        "modality": "voice",
    }


_MESSAGES = [
    _message("e1", "user", "My name is Ada."),
    _message("e2", "assistant", "Nice to meet you, Ada."),
    _message("e3", "user", "What is my name?"),
    _message("e4", "assistant", "Your name is Ada."),
]
