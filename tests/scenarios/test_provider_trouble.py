"""The model fails in a call: a sentence for the caller, a line for the operator, and it goes on."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.paths import ROOT
from devtools.system import System
from simulators.caller import Caller
from simulators.openai_llm import ScriptedServer, Step
from tests.scenarios.calling import Calling, texts, until
from tests.scenarios.test_outages import calling_on

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

SORRY = "Sorry, again please."


def told(system: System) -> list[dict[str, Any]]:
    """What the operator was told of providers."""
    lines = (line for line in system.worker.log().splitlines() if line.startswith("{"))
    return [
        fields
        for fields in map(json.loads, lines)
        if fields["message"] == "provider failed: the caller was asked to try again"
    ]


def brief_persona(folder: Path) -> Path:
    """The usual persona with a shorter sentence: the test waits until it was spoken."""
    usual = (ROOT / "config" / "agent.toml").read_text()
    line = next(line for line in usual.splitlines() if line.startswith("trouble"))
    own = folder / "agent.toml"
    own.write_text(usual.replace(line, f'trouble = "{SORRY}"'))
    return own


async def answer_to(calling: Calling, caller: Caller, conversation: str, text: str) -> str:
    """Type a line and wait for what is said to it."""
    before = len(await calling.outside.messages(conversation))
    await caller.type(text)

    async def look() -> str | None:
        messages = (await calling.outside.messages(conversation))[before:]
        return next((str(m["text"]) for m in messages if m["role"] == "assistant"), None)

    return await until(look)


ASKED = ["quota", "hang", "awake", "garbage", "order", "key", "still", "never"]
ANSWERED = [
    "Tried again and here.",
    SORRY,
    "Awake again.",
    SORRY,
    "All in order.",
    SORRY,
    SORRY,
    SORRY,
]


async def test_the_caller_is_asked_to_try_again_and_a_model_that_never_answers_ends_the_call(
    start_system: Callable[..., System], tmp_path: Path
) -> None:
    """Typed lines: the script counts requests, and speech may ask twice."""
    server = ScriptedServer(
        [
            Step(text="Hello."),
            Step(status=429),
            Step(text="Tried again and here."),
            Step(fault="hang"),
            Step(fault="hang"),
            Step(text="Awake again."),
            Step(fault="garbage"),
            Step(fault="garbage"),
            Step(text="All in order."),
            Step(status=401),
        ]
    )
    async with server.serving():
        environ = {
            "VOICE_LLM_BASE_URL": server.base_url,
            "VOICE_LLM_TIMEOUT_S": "1",
            "VOICE_CALL__AGENT_FILE": str(await asyncio.to_thread(brief_persona, tmp_path)),
        }
        system = start_system(worker_environ=environ)
        async with calling_on(system) as calling, calling.call() as (call, caller):
            id_ = call.conversation_id
            answers = [await answer_to(calling, caller, id_, text) for text in ASKED]
            ended = await calling.event(id_, "call_ended")
            heard = [line.text for line in caller.transcripts if not line.mine]
            messages = await calling.outside.messages(id_)
    assert answers == ANSWERED
    assert texts(messages) == ASKED
    assert sum("again please" in text for text in heard) == ANSWERED.count(SORRY)
    assert ended["reason"] == "provider_failed"
    lines = told(system)
    assert [line["status"] for line in lines] == [None, None, 401, 401, 401]
    assert "VOICE_LLM_TIMEOUT_S" in lines[0]["remedy"]
    assert lines[2]["remedy"] == "it does not accept the key: set a valid one"
    assert all("Traceback" in line["stack"] for line in lines)
    assert len(server.requests) == 12  # tried again where it helps, and not with a refused key
