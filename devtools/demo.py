"""``demo``: the scripted proof, in a system of its own beside whatever else runs."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from devtools import disk, env_file, figures, ledger, locks, signals
from devtools.console import Progress, say
from devtools.ledger import Bookkeeper
from devtools.paths import DEMOS, ROOT, VENV, python_of, shown
from devtools.run import DATABASE, environment
from devtools.servers.server import Cancelled, Place
from devtools.servers.worker import OUTBOX
from devtools.system import Plan, System

SHARED = {OUTBOX, DATABASE, "VOICE_LOCAL__SOCKET"}
"""Not taken from the shell: the demo never touches what another system writes."""


def demo(args: list[str]) -> int:
    """Run the demo; its exit code. What it stored is kept only when something went wrong."""
    os.umask(0o077)
    folder = DEMOS / secrets.token_hex(4)
    disk.require({folder: figures.START_MB}, what="the demo (data and logs)")
    with locks.held(folder / ledger.LOCK):
        code = _demo_in(folder, args)
    if code:
        say(f"the demo failed (exit code {code}); what it left is in {shown(folder)}")
    else:
        shutil.rmtree(folder)
    return code


def _demo_in(folder: Path, args: list[str]) -> int:
    given = {name: value for name, value in os.environ.items() if name not in SHARED}
    place = Place(folder=folder, environ=environment(given))
    system = System(Plan.on_free_ports(place))
    book = Bookkeeper(folder, mark=place.mark, watcher=os.getpid())
    for server in system.servers:
        server.on_spawn = book.spawned
    requests = signals.Requests(on_stop=system.cancel)
    with signals.handled(requests):
        try:
            with Progress().shown() as progress, progress.step("a system of its own"):
                system.start()
            env_file.write(folder / "env", system.env)
            return _play(folder, args, requests)
        except Cancelled:
            return 130
        finally:
            system.stop()
            book.closed()


def _play(folder: Path, args: list[str], requests: signals.Requests) -> int:
    command = [str(python_of(VENV)), "-m", "simulators.demo", "--env", str(folder / "env"), *args]
    # A session of its own: a Ctrl-C reaches it through us, once.
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as player:
        while player.poll() is None:
            if requests.stopping.is_set():
                player.terminate()
            try:
                player.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
    return 130 if requests.stopping.is_set() else player.returncode
