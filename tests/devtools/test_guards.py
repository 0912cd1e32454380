"""The guards of tests/support fail the tests they are there to fail, and no other."""

import os
import subprocess
import sys
from pathlib import Path

from devtools.paths import ROOT

MADE = """
import asyncio, socket, subprocess, sys, threading, time
from devtools.paths import ROOT
from tests.support import guards

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

def test_leaks_a_thread():
    threading.Thread(target=time.sleep, args=(guards.PATIENCE_S + 1,)).start()

def test_leaks_a_process():
    subprocess.Popen(SLEEP)

async def test_leaks_a_task():
    asyncio.get_running_loop().kept = asyncio.create_task(asyncio.sleep(600))

def test_reaches_far():
    socket.create_connection(("192.0.2.1", 9), timeout=1)

async def test_lets_our_code_block(monkeypatch, tmp_path):
    path = str(ROOT / "voice_agent" / "made.py")  # never written: only the name counts
    names = {}
    exec(compile("import time\\ndef nap(): time.sleep(0.01)", path, "exec"), names)
    names["nap"]()

async def test_lets_other_code_block():
    time.sleep(0.01)

async def test_is_tidy():
    await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(time.sleep, 0.01))
    subprocess.run([sys.executable, "-c", ""], check=True)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
"""


def test_leaks_far_sockets_and_blocking_calls_fail_their_test_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    file = tmp_path / "test_made.py"
    file.write_text(MADE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-rfEp", "-q", str(file)]
    command += ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    plain = {**os.environ, "PYTEST_ADDOPTS": ""}  # somebody's own would change what it prints
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
    verdicts = [line.split(" - ")[0] for line in done.stdout.splitlines() if "::test_" in line]
    found = {line.split("::")[1]: line.split()[0] for line in sorted(verdicts, reverse=True)}
    assert found == {
        "test_leaks_a_thread": "ERROR",
        "test_leaks_a_process": "ERROR",
        "test_leaks_a_task": "ERROR",
        "test_reaches_far": "FAILED",
        "test_lets_our_code_block": "FAILED",
        "test_lets_other_code_block": "PASSED",
        "test_is_tidy": "PASSED",
    }, done.stdout
    assert "processes that outlived the tests (ended now)" in done.stdout
