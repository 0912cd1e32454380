"""``run`` with the real servers: up, joined, found by a second run, repaired, ended, left over."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from devtools import env_file, ledger, processes
from devtools.paths import ROOT
from devtools.ports import LOOPBACK, Ports
from simulators.caller import Caller
from simulators.outside import Outside
from tests.scenarios.calling import texts, until
from tests.support.waiting import read_until, wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

CALL = "import sys; from pathlib import Path; from devtools import run\n"
READY = "Ctrl-C stops everything."
STARTS_S = 90.0


class Running:
    """A ``run`` in a process of its own, on a folder of its own."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str) -> None:
        assert process.stdout
        self.process = process
        self.out = process.stdout
        self.mark = mark
        self.said: list[str] = []

    async def says(self, words: str, *, within_s: float = STARTS_S) -> None:
        """Wait for a line with these words."""
        self.said += await read_until(self.out, words, within_s=within_s)

    async def ends(self, number: signal.Signals) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        self.said += (await self.out.read()).decode().splitlines()
        return await self.process.wait()

    @property
    def url(self) -> str:
        """The page's address as it was printed."""
        found = re.search(r"Talk to it: +(\S+)", "\n".join(self.said))
        assert found
        return found[1]


@asynccontextmanager
async def verb(
    name: str, folder: Path, *, options: str = "", **environ: str
) -> AsyncIterator[Running]:
    """Call ``run`` or ``stop``; whatever is left of it is ended with the block."""
    mark = processes.new_mark()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", f"{CALL}sys.exit(run.{name}(Path(sys.argv[1]){options}))", str(folder)),
        cwd=ROOT,
        env={**os.environ, **environ, processes.MARK: mark},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Running(process, mark)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.to_thread(processes.end, processes.marked(mark), patience_s=2.0)


async def test_a_run_can_be_joined_found_repaired_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    taken = Ports().free()
    with socket.create_server((LOOPBACK, taken)):
        async with verb("run", folder, VOICE_BACKEND__PORT=str(taken)) as running:
            await running.says(READY)
            assert any(line.startswith(f"port {taken} is taken: ") for line in running.said)
            await _can_be_joined(running, folder)
            assert _listeners(running.mark) == {LOOPBACK}
            async with verb("run", folder) as second:
                await second.says(f"it is running already: {running.url}")
                assert await second.process.wait() == 0
            worker = ledger.read(folder).servers["worker"]  # type: ignore[union-attr]
            worker.signal(signal.SIGKILL)
            await running.says("worker ended (killed by signal 9); its log: ")
            await running.says("worker is back after ")
            assert await running.ends(signal.SIGINT) == 0
            assert "nothing is left running" in running.said[-1]
            assert processes.marked(running.mark) == []
    assert not (folder / "env").exists()
    assert ledger.read(folder) is None


def _listeners(mark: str) -> set[str]:
    """List the addresses on which anything of a run takes connections."""
    return {
        connection.laddr.ip
        for process in processes.marked(mark)
        for connection in psutil.Process(process.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


async def _can_be_joined(running: Running, folder: Path) -> None:
    names = env_file.read(folder / "env")
    async with httpx.AsyncClient() as http:
        page = await http.get(running.url)
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        admin = {"Authorization": f"Bearer {names['BACKEND_TOKEN']}"}
        listed = await http.get(f"{names['BACKEND_URL']}/v1/conversations", headers=admin)
        assert listed.status_code == 200
        for name in ("METRICS_URL", "BACKEND_METRICS_URL", "RELAY_METRICS_URL"):
            assert "# TYPE" in (await http.get(names[name])).text, name


async def test_a_run_on_postgresql_keeps_its_conversations_and_survives_its_end(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    on_postgres = ", on_postgres=True"
    async with verb("run", folder, options=on_postgres) as first:
        await first.says(READY)
        await _can_be_joined(first, folder)
        key = await _conversation_of(folder, "kept")
        first.process.kill()
        await first.process.wait()
        async with verb("run", folder, options=on_postgres) as second:
            await second.says(READY)
            assert await _conversation_of(folder, "kept") == key
            server = ledger.read(folder).servers["postgres"]  # type: ignore[union-attr]
            server.signal(signal.SIGKILL)
            await second.says("postgres is back after ")
            assert await second.ends(signal.SIGINT) == 0
            assert "nothing is left running" in second.said[-1]
            assert processes.marked(second.mark) == []


async def _conversation_of(folder: Path, key: str) -> str:
    names = env_file.read(folder / "env")
    admin = {"Authorization": f"Bearer {names['BACKEND_TOKEN']}"}
    async with httpx.AsyncClient(base_url=names["BACKEND_URL"], headers=admin) as http:
        found = await http.post("/v1/conversations:resolve", json={"key": key})
        return str(found.json()["id"])


async def test_what_a_killed_run_left_behind_is_ended_by_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with verb("run", folder) as first:
        await first.says(READY)
        first.process.kill()
        await first.process.wait()
        assert len(processes.marked(first.mark)) > 4  # the servers, and what they started
        async with verb("run", folder) as second:
            await second.says("processes that an earlier run had left behind")
            await wait_for(lambda: not processes.marked(first.mark), what="left-overs are gone")
            await second.says(READY)
            async with verb("stop", folder) as stopping:
                await stopping.says("stopped")
            second.said += (await second.out.read()).decode().splitlines()
            assert await second.process.wait() == 0
            assert processes.marked(second.mark) == []


async def test_a_run_that_is_stopped_while_it_starts_ends_cleanly(tmp_path: Path) -> None:
    async with verb("run", tmp_path / "run") as running:
        await running.says("LiveKit, Valkey, backend and worker ...")
        assert await running.ends(signal.SIGTERM) == 0
        assert processes.marked(running.mark) == []


async def test_a_setting_that_cannot_work_ends_the_run_with_its_name(tmp_path: Path) -> None:
    async with verb("run", tmp_path / "run", VOICE_NOPE="1") as running:
        await running.says("worker ended at its start")
        assert await running.process.wait() != 0
    log = (tmp_path / "run" / "logs" / "worker.log").read_text()
    assert "VOICE_NOPE: there is no such setting" in log


async def test_a_run_with_the_stand_in_for_gemini_answers_a_call_without_a_key(
    tmp_path: Path,
) -> None:
    question = ROOT / "tests" / "fixtures" / "speech" / "time_tokyo.wav"
    folder = tmp_path / "run"
    own_key = {"GOOGLE_API_KEY": "of-a-person"}
    async with verb("run", folder, options=", with_gemini=True", **own_key) as running:
        await running.says(READY)
        assert any("a stand-in for Gemini Live" in line for line in running.said)
        names = env_file.read(folder / "env")
        assert not any(name.startswith(("GOOGLE_", "VOICE_PROVIDER")) for name in names)
        assert "tokyo" in await _heard_in_a_call(names, question)
        server = ledger.read(folder).servers["gemini"]  # type: ignore[union-attr]
        server.signal(signal.SIGKILL)
        await running.says("gemini is back after ")
        assert "tokyo" in await _heard_in_a_call(names, question)
        async with verb("stop", folder) as stopping:
            await stopping.says("stopped")
        running.said += (await running.out.read()).decode().splitlines()
        assert await running.process.wait() == 0
        assert processes.marked(running.mark) == []


async def _heard_in_a_call(names: dict[str, str], recording: Path) -> str:
    """What the agent answers to a recording, as the conversation has it."""
    async with Outside(url=names["BACKEND_URL"], token=names["BACKEND_TOKEN"]) as outside:
        opened = await outside.open_call()
        async with Caller.join(opened.url, opened.token) as caller:
            await caller.hear(timeout_s=30)
            await caller.say(recording)

            async def answered() -> str | None:
                messages = await outside.messages(opened.conversation_id)
                _, *replies = texts(messages, "assistant") or [""]
                return " ".join(replies) if texts(messages) else None

            return (await until(answered)).lower()
