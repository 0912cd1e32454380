"""The real thing: a person's browser, the real LiveKit server, backend and worker.

Chromium's microphone speaks a fixture; the words are what the agent's recogniser heard, and the
sound is measured on the track the page plays.
"""

import re
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser, expect

from tests.web.browser import CallPage, browser, call_page

pytestmark = [pytest.mark.browser, pytest.mark.scenario, pytest.mark.timeout(180)]

_SPEECH = Path(__file__).parents[1] / "fixtures" / "speech"
_RATE_HZ = 48_000  # what Chromium's fake microphone reads
_GREETING_S = 7.0  # silence before the fixture, so that it does not talk over the greeting
_REST_S = 40.0  # and after it: Chromium plays the file in a loop
_ANSWER_MS = 30_000
_LOUD = 0.3  # of the page's scale: 0 silent (-60 dBFS), 1 loud (-12 dBFS)


@pytest.fixture
async def chrome(tmp_path: Path) -> AsyncIterator[Browser]:
    """A Chromium whose microphone says a name."""
    microphone = _microphone(_SPEECH / "name.wav", tmp_path / "microphone.wav")
    async with browser(microphone) as running:
        yield running


@pytest.fixture
async def tab(chrome: Browser) -> AsyncIterator[CallPage]:
    async with call_page(chrome) as opened:
        yield opened


async def test_a_spoken_sentence_is_shown_answered_and_played(
    tab: CallPage, call_link: str
) -> None:
    await _call(tab, call_link)
    await expect(tab.lines("agent").first).to_contain_text(re.compile(r"\w+"), timeout=_ANSWER_MS)
    await expect(tab.lines("me").first).to_contain_text("Ada", timeout=_ANSWER_MS)
    answer = tab.lines("agent").filter(has_text="Ada")
    await expect(answer.first).to_be_visible(timeout=_ANSWER_MS)
    assert await _peak(tab, "meter-you") > _LOUD
    assert await _peak(tab, "meter-agent") > _LOUD
    assert tab.complaints == []


async def test_a_muted_microphone_is_not_heard(tab: CallPage, call_link: str) -> None:
    await _call(tab, call_link)
    await tab.part("microphone-button").click()
    await expect(tab.body(microphone="muted")).to_be_visible()
    await expect(tab.part("microphone-button")).to_have_text("Unmute")
    spoken = re.compile(r"00:(1[6-9]|[2-9])")  # by then the fixture and its transcript are over
    await expect(tab.part("clock")).to_have_text(spoken, timeout=_ANSWER_MS)
    assert await _peak(tab, "meter-you") < _LOUD
    await expect(tab.lines("me")).to_have_count(0)


async def test_typing_hanging_up_and_calling_again_into_the_same_conversation(
    tab: CallPage, call_link: str
) -> None:
    await _call(tab, call_link, button="start-typing-button")
    await _type(tab, "My name is Grace.")
    await expect(tab.lines("agent").filter(has_text="Grace")).to_be_visible(timeout=_ANSWER_MS)
    conversation = await _conversation(tab)

    await tab.part("hang-up-button").click()
    await expect(tab.body(phase="ended", ended="hung_up")).to_be_visible()
    await tab.part("start-button").click()
    await expect(tab.body(agent="here", microphone="live")).to_be_visible(timeout=_ANSWER_MS)
    assert await _conversation(tab) == conversation
    await _type(tab, "I live in Lisbon.")
    answer = tab.lines("agent").filter(has_text="Lisbon")
    await expect(answer).to_be_visible(timeout=_ANSWER_MS)
    assert tab.complaints == []


async def test_a_reloaded_page_shows_what_was_said_before(tab: CallPage, call_link: str) -> None:
    await _call(tab, call_link, button="start-typing-button")
    await _type(tab, "My name is Grace.")
    await expect(tab.lines("agent").filter(has_text="Grace")).to_be_visible(timeout=_ANSWER_MS)
    await tab.part("hang-up-button").click()
    await expect(tab.body(phase="ended")).to_be_visible()
    remembered = tab.lines("me").filter(has_text="My name is Grace.")

    async def reloaded() -> bool:
        await tab.page.reload()
        await expect(tab.part("start-button")).to_have_text("Continue")
        await tab.page.wait_for_load_state("networkidle")
        return await remembered.count() == 1

    for _ in range(10):  # the relay brings the last words to the backend in its own time
        if await reloaded():
            break
    else:
        pytest.fail("the typed line never came back from the backend")
    assert tab.complaints == []


async def test_without_a_microphone_the_call_goes_on_by_typing(call_link: str) -> None:
    async with browser() as refusing, call_page(refusing, width=360, height=740) as tab:
        await _call(tab, call_link)
        await expect(tab.part("notice-microphone")).to_contain_text("type instead")
        await _type(tab, "My name is Grace.")
        answer = tab.lines("agent").filter(has_text="Grace")
        await expect(answer).to_be_visible(timeout=_ANSWER_MS)
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= 360


async def _call(tab: CallPage, link: str, *, button: str = "start-button") -> None:
    await tab.page.goto(link)
    await tab.part(button).click()
    await expect(tab.body(phase="in_call", agent="here")).to_be_visible(timeout=_ANSWER_MS)


async def _type(tab: CallPage, text: str) -> None:
    await tab.part("composer-input").fill(text)
    await tab.part("composer-input").press("Enter")
    await expect(tab.lines("me").last).to_have_text(text)


async def _peak(tab: CallPage, meter: str) -> float:
    return float(await tab.part(meter).get_attribute("data-peak") or 0)


async def _conversation(tab: CallPage) -> str:
    found = await tab.page.evaluate("sessionStorage.getItem('throughline.conversation_id')")
    assert isinstance(found, str)
    return found


def _microphone(fixture: Path, target: Path) -> Path:
    """Write ``fixture`` as Chromium's microphone wants it, between the two silences."""
    with wave.open(str(fixture), "rb") as source:
        rate_hz = source.getframerate()
        spoken = np.frombuffer(source.readframes(source.getnframes()), dtype=np.int16)
    count = len(spoken) * _RATE_HZ // rate_hz
    places = np.arange(count) * rate_hz / _RATE_HZ
    resampled = np.interp(places, np.arange(len(spoken)), spoken).astype(np.int16)
    before = np.zeros(int(_GREETING_S * _RATE_HZ), dtype=np.int16)
    after = np.zeros(int(_REST_S * _RATE_HZ), dtype=np.int16)
    with wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE_HZ)
        out.writeframes(np.concatenate([before, resampled, after]).tobytes())
    return target
