"""The outbox folder is deleted in mid-call: nothing is lost that anybody still holds.

What nobody holds any more is reported: by the relay, and by the backend as ``missing``.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.backend.process import Backend
from tests.integration.calls import WrittenCall
from tests.integration.relaying import kinds, relaying, resolve, texts, until


def missing(backend: Backend, token: str, conversation: str) -> list[dict[str, Any]]:
    with backend.client(token) as http:
        return list(http.get(f"/v1/conversations/{conversation}").json()["missing"])


async def test_while_the_relay_runs_nothing_is_lost_doubled_or_ended_too_early(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "deleted-live")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    async with relaying(folder, url=backend.url, token=token) as counted:
        call.say("before")
        await until(lambda: texts(backend, token, conversation) == ["before"])
        for number in range(3):
            shutil.rmtree(folder)
            call.say(f"after {number}")
        await until(lambda: texts(backend, token, conversation) == call.said)
        assert "call_ended" not in kinds(backend, token, conversation)
        call.say("and on")
        await until(lambda: texts(backend, token, conversation) == call.said)
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == call.said
    assert kinds(backend, token, conversation).count("call_ended") == 1
    assert missing(backend, token, conversation) == []
    assert counted.aside == []


async def test_without_a_relay_the_call_itself_writes_everything_anew(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "deleted-alone")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("one")
    call.say("two")
    shutil.rmtree(folder)
    call.say("three")
    call.die()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["one", "two", "three"]
    assert missing(backend, token, conversation) == []


async def test_a_job_that_dies_before_it_notices_is_delivered_by_the_relay_that_had_it_open(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "deleted-dead")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    async with relaying(folder, url=backend.url, token=token):
        call.say("one")
        await until(lambda: texts(backend, token, conversation) == ["one"])
        backend_words = call.said
        call.path.unlink()
        call.say("two")  # rings, so the relay reads it from the file that has no name any more
        call.die()
        await until(lambda: "call_ended" in kinds(backend, token, conversation))
    assert texts(backend, token, conversation) == backend_words
    assert missing(backend, token, conversation) == []


async def test_what_nobody_holds_any_more_is_reported(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "deleted-unreadable")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("gone for good")
    with call.path.open("r+b") as file:
        file.truncate(0)  # as a volume that was formatted anew: the old file reads as empty
    call.path.unlink()
    await call.outbox.look()
    call.say("still here")
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token) as counted:
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["still here"]
    [gap] = missing(backend, token, conversation)
    assert (gap["from"], gap["to"]) == (1, 3)
    assert counted.aside == ["gap"]


@pytest.mark.parametrize("what", ["relay.sock", "relay.lock", "everything"])
async def test_the_relay_finds_its_folder_again(
    backend: Backend, token: str, folder: Path, what: str
) -> None:
    conversation = resolve(backend, token, f"relay-{what.replace('.', '-')}")
    async with relaying(folder, url=backend.url, token=token):
        await until((folder / "relay.sock").exists)
        if what == "everything":
            shutil.rmtree(folder)
        else:
            (folder / what).unlink()
        call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
        await until(lambda: (folder / "relay.sock").exists() and (folder / "relay.lock").exists())
        call.say("hello")
        await until(lambda: texts(backend, token, conversation) == ["hello"])
        call.hang_up()
        await until(lambda: not call.path.exists())
