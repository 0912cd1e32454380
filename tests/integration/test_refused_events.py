"""What the backend refuses is set aside once, found by a person, and can be delivered later."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.backend.process import ROOT, Backend
from tests.integration.calls import WrittenCall
from tests.integration.relaying import kinds, relaying, resolve, texts, until
from voice_agent.aio.clock import new_id


def relay_command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What an operator types."""
    return subprocess.run(
        [sys.executable, "agent.py", "relay", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "VOICE_OUTBOX__FOLDER": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ahead_of_its_session(call: WrittenCall, text: str) -> None:
    """Record a message of session 1, which the backend does not know yet: it refuses it."""
    call.ordinal += 1
    event = {"v": 1, "event_id": new_id(), "ordinal": call.ordinal, "kind": "message",
             "at": "2026-11-21T04:00:00.000Z", "session_number": 1, "role": "user", "text": text,
             "new_field": [1]}  # fmt: skip
    call.outbox.append(call.ordinal, json.dumps(event).encode())
    call.outbox.ring()


def clear(backend: Backend, token: str, conversation: str) -> None:
    with backend.client(token) as http:
        answer = http.post(f"/v1/conversations/{conversation}/clear", json={"event_id": new_id()})
        assert answer.status_code == 200, answer.text


async def test_a_dead_letter_is_listed_shown_and_replayed_behind_its_call(
    backend: Backend, token: str, folder: Path
) -> None:
    conversation = resolve(backend, token, "replayed")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("one")
    ahead_of_its_session(call, "refused at first")
    call.say("two")
    async with relaying(folder, url=backend.url, token=token) as counted:
        await until(lambda: texts(backend, token, conversation) == ["one", "two"])
        refused = await asyncio.to_thread(relay_command, folder, "dead", "replay")
        assert refused.returncode == 1
        assert "in use" in refused.stderr
        call.hang_up()
        await until(lambda: not call.path.exists())
    assert counted.aside == ["dead_letter"]
    listed = await asyncio.to_thread(relay_command, folder, "dead", "list")
    assert call.writer_id in listed.stdout
    assert "1 events" in listed.stdout
    shown = await asyncio.to_thread(relay_command, folder, "dead", "show", call.writer_id)
    assert json.loads(shown.stdout)["event"]["text"] == "refused at first"

    clear(backend, token, conversation)
    letters = folder / "dead" / f"{call.writer_id}.jsonl"
    kept = letters.read_bytes()
    for _ in range(2):  # again, as after a crash between the delivery and the rename
        letters.write_bytes(kept)
        replayed = await asyncio.to_thread(relay_command, folder, "dead", "replay", call.writer_id)
        assert replayed.returncode == 0, replayed.stderr
        async with relaying(folder, url=backend.url, token=token) as counted:
            await until(lambda: not list(folder.glob("*.outbox")))
        assert counted.aside == []
    assert texts(backend, token, conversation) == ["one", "two", "refused at first"]
    assert kinds(backend, token, conversation).count("call_ended") == 2
    assert "no dead letters" in (await asyncio.to_thread(relay_command, folder, "dead", "list")
                                 ).stdout  # fmt: skip


async def test_a_replay_stands_before_a_later_call(
    backend: Backend, token: str, folder: Path
) -> None:
    """Its fence follows that of the call it belongs to; a later writer's is higher."""
    conversation = resolve(backend, token, "replayed-between")
    first = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    first.say("first call")
    ahead_of_its_session(first, "late")
    first.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not first.path.exists())
    clear(backend, token, conversation)
    letters = folder / "dead" / f"{first.writer_id}.jsonl"
    letter = json.loads(letters.read_text())
    letter["event"]["session_number"] = 0
    letters.write_text(json.dumps(letter) + "\n")  # an operator may correct what was refused
    second = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    second.say("second call")
    second.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not second.path.exists())
        await asyncio.to_thread(relay_command, folder, "dead", "replay")
        await until(lambda: len(texts(backend, token, conversation)) == 3)
        await until(lambda: not list(folder.glob("*.outbox")))
    assert texts(backend, token, conversation) == ["first call", "late", "second call"]


async def test_a_relay_that_dies_after_a_refusal_refuses_nothing_twice(
    backend: Backend, token: str, folder: Path
) -> None:
    """The second relay sends the event again: its ordinal is taken by the first one's ``lost``."""
    conversation = resolve(backend, token, "refused-twice")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("one")
    ahead_of_its_session(call, "refused")
    call.say("two")
    for _ in range(3):
        async with relaying(folder, url=backend.url, token=token, drain_s=0.1):
            await until(lambda: texts(backend, token, conversation) == ["one", "two"])
        call.path.with_suffix(".ack").unlink(missing_ok=True)  # it died before it wrote that
    call.say("three")
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["one", "two", "three"]
    assert kinds(backend, token, conversation).count("lost") == 1
    assert len((folder / "dead" / f"{call.writer_id}.jsonl").read_text().splitlines()) == 1


async def test_damage_in_a_live_file_is_reported_once_however_often_the_relay_dies(
    backend: Backend, token: str, folder: Path
) -> None:
    """A ``lost`` event that differed each time would be refused for ever, and the file kept."""
    conversation = resolve(backend, token, "damaged-live")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("whole")
    size = call.path.stat().st_size
    call.say("damaged")
    raw = bytearray(call.path.read_bytes())
    raw[size + 30] ^= 1
    call.path.write_bytes(raw)
    call.say("also whole")
    for _ in range(3):
        async with relaying(folder, url=backend.url, token=token, drain_s=0.1):
            await until(lambda: "also whole" in texts(backend, token, conversation))
        call.path.with_suffix(".ack").unlink(missing_ok=True)
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token):
        await until(lambda: not call.path.exists())
    assert kinds(backend, token, conversation).count("lost") == 1
    assert not (folder / "dead").exists()
    listed = await asyncio.to_thread(relay_command, folder, "quarantine", "list")
    assert call.writer_id in listed.stdout


async def test_one_event_among_many_is_found_when_nobody_says_which(
    backend: Backend, token: str, folder: Path
) -> None:
    """A body that is no JSON is refused without a word about which event it was."""
    conversation = resolve(backend, token, "which-one")
    call = await asyncio.to_thread(WrittenCall, folder, conversation_id=conversation)
    call.say("one")
    call.ordinal += 1
    call.outbox.append(call.ordinal, b'{"no json')
    call.say("two")
    call.hang_up()
    async with relaying(folder, url=backend.url, token=token) as counted:
        await until(lambda: not call.path.exists())
    assert texts(backend, token, conversation) == ["one", "two"]
    assert kinds(backend, token, conversation).count("lost") == 1
    assert counted.aside == ["dead_letter"]


def test_a_command_that_is_none_says_which_there_are(tmp_path: Path) -> None:
    done = relay_command(tmp_path, "dead")
    assert done.returncode == 2
    assert "relay dead replay" in done.stderr
    assert relay_command(tmp_path, "dead", "show", "nobody").returncode == 1
    assert "nothing in quarantine" in relay_command(tmp_path, "quarantine", "list").stdout
