"""A start that cannot work says what is wrong and what to do, in a line, and ends."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from devtools.servers.backend import Backend
from devtools.servers.livekit import LiveKitServer

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.scenario, pytest.mark.timeout(90)]

WORKING = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret" * 8,
    "VOICE_WORKER__HEALTH_PORT": "0",
    "VOICE_WORKER__METRICS_PORT": "0",
}


async def started(*args: str, **environ: str) -> tuple[int, str]:
    """Run agent.py to its end; its exit code and what it wrote."""
    inherited = {n: os.environ[n] for n in ("PATH", "HOME", "THROUGHLINE_RUN") if n in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "agent.py", *args, cwd=ROOT, env={**inherited, **WORKING, **environ},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LIVEKIT_URL": ""}, ["LIVEKIT_URL", "make run"]),
        ({"VOICE_WORKER__ROMS": "3"}, ["VOICE_WORKER__ROMS", "no such setting"]),
        ({"VOICE_WORKER__ROOMS": "many"}, ["VOICE_WORKER__ROOMS", "integer"]),
        ({"BACKEND_URL": "http://127.0.0.1:9"}, ["BACKEND_TOKEN"]),
        ({"BACKEND_URL": "http://127.0.0.1:9", "BACKEND_TOKEN": "t",
          "VOICE_OUTBOX__FOLDER": "/proc/nowhere"}, ["VOICE_OUTBOX__FOLDER", "be lost"]),
        ({"VOICE_CALL__AGENT_FILE": "/nowhere.toml"}, ["VOICE_CALL__AGENT_FILE"]),
        ({"VOICE_LLM_BASE_URL": "localhost:11434"}, ["VOICE_LLM_BASE_URL"]),
    ],
)  # fmt: skip
async def test_a_setting_that_cannot_work_is_named(
    environ: dict[str, str], words: list[str]
) -> None:
    code, text = await started("start", **environ)
    assert code == 2
    assert len(text.strip().splitlines()) == 1
    for word in words:
        assert word in text


async def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, text = await started("start", VOICE_WORKER__HEALTH_PORT=port)
    assert code == 2
    assert f"port {port}" in text
    assert "Traceback" not in text


async def test_a_wrong_livekit_key_is_named(livekit_server: LiveKitServer) -> None:
    env = {**livekit_server.env, "LIVEKIT_API_SECRET": "wrong" * 10}
    code, text = await started("start", **env)
    assert code == 2
    assert "refuses the key" in text
    assert len(text.strip().splitlines()) == 1


async def test_a_wrong_backend_token_is_named(
    livekit_server: LiveKitServer, backend: Backend, tmp_path: Path
) -> None:
    env = {**livekit_server.env, "BACKEND_URL": backend.url, "BACKEND_TOKEN": "wrong"}
    code, text = await started("start", **env, VOICE_OUTBOX__FOLDER=str(tmp_path))
    assert code == 2
    assert "BACKEND_TOKEN" in text


async def test_servers_that_are_away_are_named_and_waited_for(tmp_path: Path) -> None:
    """Nobody has to start them in the right order."""
    inherited = {n: os.environ[n] for n in ("PATH", "HOME", "THROUGHLINE_RUN") if n in os.environ}
    away = {"BACKEND_URL": "http://127.0.0.1:9", "BACKEND_TOKEN": "t"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "agent.py", "start", cwd=ROOT,
        env={**inherited, **WORKING, **away, "VOICE_OUTBOX__FOLDER": str(tmp_path / "outbox"),
             "VOICE_RELAY__METRICS_PORT": "0"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not (any("LiveKit at" in line for line in lines)
                   and any("backend at" in line for line in lines)):  # fmt: skip
            lines.append((await process.stderr.readline()).decode())
    assert process.returncode is None
    process.terminate()
    await asyncio.wait_for(process.communicate(), 40)


HIDES = """
import importlib.metadata, os, sys

NAME = os.environ["HIDDEN"]


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == NAME.replace("-", ".") or name.startswith(NAME.replace("-", ".") + "."):
            raise ModuleNotFoundError(name)


def version(name, known=importlib.metadata.version):
    if name == NAME:
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)


sys.meta_path.insert(0, Finder())
importlib.metadata.version = version
"""


@pytest.mark.parametrize("hidden", ["livekit-protocol", "livekit-agents", "google-genai"])
@pytest.mark.parametrize("command", ["start", "doctor"])
async def test_a_package_that_is_missing_is_one_line_and_no_traceback(
    tmp_path: Path, hidden: str, command: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDES)
    gemini = {"VOICE_PROVIDER": "gemini", "GOOGLE_API_KEY": "none"}
    code, text = await started(command, PYTHONPATH=str(tmp_path), HIDDEN=hidden, **gemini)
    found = [line for line in text.splitlines() if f"{hidden} is not installed: pip" in line]
    assert len(found) == 1, text
    assert "Traceback" not in text
    assert code == (2 if command == "start" else 1)
    assert command == "doctor" or text.splitlines() == found


async def test_an_unknown_command_says_how() -> None:
    code, text = await started("dance")
    assert code == 2
    assert "usage" in text


async def test_the_doctor_says_what_is_missing(livekit_server: LiveKitServer) -> None:
    env = livekit_server.env
    inherited = {n: os.environ[n] for n in ("PATH", "HOME") if n in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "agent.py", "doctor", cwd=ROOT, env={**inherited, **WORKING, **env},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    lines = {line.split()[0]: line for line in out.decode().splitlines()}
    assert "ok" in lines["livekit"]
    assert "nothing that is said is kept" in lines["backend"]
    assert process.returncode == 1
