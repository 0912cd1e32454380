"""After a call in a real room the backend knows what was spent on it (issue 7)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.system import System
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_gemini_worker import chosen, hearing
from tests.scenarios.test_outages import calling_on

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]
Counts = dict[str, float]


async def spent(calling: Calling, conversation: str) -> dict[str, Counts]:
    """What the backend says was used up, by service; and that its log says the same."""
    usage = await calling.outside.usage(conversation)
    told: dict[str, Counts] = {}
    for kind in ("turn_ended", "call_ended"):
        for event in await calling.outside.events(conversation, kind):
            for each in event.get("usage", []):
                counts = told.setdefault(each["service"], {})
                for name, value in each["counts"].items():
                    counts[name] = counts.get(name, 0) + value
    shown = {each["service"]: each["counts"] for each in usage["items"]}
    assert shown == {service: pytest.approx(counts, abs=0.002) for service, counts in told.items()}
    assert all(each["items"] == usage["items"] for each in usage["calls"])
    return shown


async def test_a_spoken_call_costs_seconds_of_speech_and_a_request_for_each_turn(
    calling: Calling, spoken: Path
) -> None:
    async with calling.call() as (call, caller):
        await caller.turn(spoken / "name.wav")
        await caller.turn(spoken / "my_name.wav")
        messages = await calling.said(call.conversation_id, 2)
    await calling.event(call.conversation_id, "call_ended")
    found = await spent(calling, call.conversation_id)
    answers = texts(messages, "assistant")
    assert found["stt"]["requests"] == len(texts(messages)) == 2
    assert 1.0 < found["stt"]["audio_s"] < 10.0
    assert found["llm"]["requests"] >= len(answers) - 1  # the greeting is said, not asked for
    assert found["tts"]["requests"] >= len(answers)
    assert found["tts"]["characters"] >= sum(len(answer) for answer in answers)
    assert found["tts"]["audio_s"] > 2.0


async def test_a_call_with_a_realtime_model_costs_what_its_service_reports(
    start_system: Callable[..., System], spoken: Path, tmp_path: Path
) -> None:
    server = hearing(tmp_path, "my name is ada", "what is my name")
    async with server.serving():
        system = start_system(worker_environ=chosen(server, tmp_path))
        async with calling_on(system) as calling, calling.call() as (call, caller):

            async def three_requests() -> bool:
                items = (await calling.outside.usage(call.conversation_id))["items"]
                return bool(items and items[0]["counts"]["requests"] >= 3)

            await caller.say(spoken / "name.wav")
            await calling.said(call.conversation_id, 1)
            await caller.hear()
            await caller.say(spoken / "my_name.wav")
            await until(three_requests)  # the greeting and two answers
            found = await spent(calling, call.conversation_id)
    assert set(found) == {"realtime"}
    realtime = found["realtime"]
    assert realtime["requests"] == 3
    assert realtime["output_tokens"] == 4 * 3  # what the stand-in reports of each
    assert realtime["input_tokens"] > 0
