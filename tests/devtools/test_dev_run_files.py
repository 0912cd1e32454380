"""What ``run`` leaves on the disk: its env file, its secrets, its ledger."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import env_file, ledger, locks, processes, secret_store
from devtools.errors import DevError
from devtools.ledger import Ledger
from devtools.processes import MARK, Process


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_shell_reads_the_env_file_back_exactly(tmp_path: Path) -> None:
    values = {"REDIS_URL": "redis://:p'a\"$s@127.0.0.1:1/0", "VOICE_AGENT_NAME": "through line"}
    path = tmp_path / "env"
    env_file.write(path, values)
    script = f'. {path}; printf "%s\\n%s" "$REDIS_URL" "$VOICE_AGENT_NAME"'
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n") == list(values.values())
    assert env_file.read(path) == values


def test_only_the_owner_can_read_what_holds_secrets(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        env_file.write(tmp_path / "env", {"BACKEND_TOKEN": "t"})
        secret_store.load(tmp_path / "secrets.json")
        ledger.write(tmp_path / ledger.FILE, Ledger(mark="m", url="http://x/#token=t"))
    finally:
        os.umask(before)
    names = ("env", "secrets.json", ledger.FILE)
    assert [mode(tmp_path / name) for name in names] == [0o600] * 3


def test_secrets_are_random_long_and_made_once(tmp_path: Path) -> None:
    first = secret_store.load(tmp_path / "a.json")
    again = secret_store.load(tmp_path / "a.json")
    other = secret_store.load(tmp_path / "b.json")
    assert first == again
    assert len(first.livekit_secret) >= 32
    assert first.livekit_secret != other.livekit_secret


def test_a_damaged_secrets_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(DevError, match=r"secrets\.json cannot be read: delete it"):
        secret_store.load(tmp_path / "secrets.json")


def test_a_system_counts_as_running_only_while_its_process_lives(tmp_path: Path) -> None:
    lock = tmp_path / ledger.LOCK
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from devtools import locks\n"
            "with locks.held(Path(sys.argv[1])): print(flush=True); sys.stdin.read()",
            str(lock),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    assert ledger.is_running(tmp_path)
    with pytest.raises(locks.Taken), locks.held(lock):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert not ledger.is_running(tmp_path)


def test_left_overs_of_a_killed_run_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    mark = processes.new_mark()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    detached = {**os.environ, MARK: f"{mark}/worker"}
    with (
        subprocess.Popen(sleep) as backend,
        subprocess.Popen(sleep) as stranger,
        subprocess.Popen(sleep, env=detached, start_new_session=True) as relay,
    ):
        own = processes.process(backend.pid)
        assert own is not None
        reused = Process(pid=stranger.pid, started="1")
        ledger.write(
            tmp_path / ledger.FILE,
            Ledger(mark=mark, servers={"backend": own, "livekit": reused}),
        )
        assert ledger.end_left_over(tmp_path) == 2
        assert backend.wait(5) < 0
        assert relay.wait(5) < 0
        assert stranger.poll() is None
        stranger.kill()
    assert not (tmp_path / ledger.FILE).exists()
    assert ledger.end_left_over(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"mark": "m"}), "{"])
def test_a_damaged_ledger_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ledger.FILE).write_text(text)
    assert ledger.read(tmp_path) is None


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = Process(pid=1, started="2")
    kept = Ledger(mark="m", watcher=one, url="u", servers={"worker": one})
    ledger.write(tmp_path / ledger.FILE, kept)
    assert ledger.read(tmp_path) == kept
