"""``run``: the whole system on this machine, until Ctrl-C."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from devtools import disk, env_file, figures, ledger, locks, secret_store, signals
from devtools.console import Progress, say
from devtools.errors import DevError
from devtools.ledger import Bookkeeper
from devtools.paths import RUN, shown
from devtools.ports import Ports
from devtools.secret_store import Secrets
from devtools.servers.livekit import LiveKitConfig
from devtools.servers.server import Cancelled, Place, clean_environment
from devtools.system import Plan, System
from devtools.watch import Watch

DEPARTURE_TIMEOUT_S = 90
"""A caller who comes back within it finds the room, and in it the agent."""
PASSED_ON = ("VOICE_", "GOOGLE_", "OPENAI_", "OTEL_")
DATABASE = "VOICE_BACKEND__DATABASE_URL"
KEPT_LOGS = ".1"
STOP_S = 60.0


def run(folder: Path = RUN, *, on_postgres: bool = False, with_gemini: bool = False) -> int:
    """Start the system and keep it up until a signal; 0 after a clean end."""
    os.umask(0o077)  # conversations, logs and secrets: for nobody else's eyes
    try:
        with locks.held(folder / ledger.LOCK):
            return _run_alone(folder, on_postgres=on_postgres, with_gemini=with_gemini)
    except locks.Taken:
        held = ledger.read(folder)
        say(
            f"it is running already: {held.url if held and held.url else 'it is just starting'}\n"
            "end it with Ctrl-C there, or: python3 dev.py stop"
        )
        return 0


def _run_alone(folder: Path, *, on_postgres: bool, with_gemini: bool) -> int:
    ended = ledger.end_left_over(folder)
    if ended:
        say(f"ended {ended} processes that an earlier run had left behind")
    disk.require({folder: figures.START_MB}, what="a start (data and logs)")
    held = secret_store.load(folder / "secrets.json")
    system = System(_plan(folder, held, on_postgres=on_postgres, with_gemini=with_gemini))
    book = Bookkeeper(folder, mark=system.place.mark, watcher=os.getpid())
    for server in system.servers:
        server.on_spawn = book.spawned
        _keep_last_log(server.log_path)
    requests = signals.Requests(on_stop=system.cancel)
    with signals.handled(requests):
        try:
            _start(system, held, book)
            Watch(system.servers, stopping=requests.stopping).run()
        except Cancelled:
            pass
        finally:
            _stop(system, requests)
            (folder / "env").unlink(missing_ok=True)
            book.closed()
    return 0


def _plan(folder: Path, held: Secrets, *, on_postgres: bool, with_gemini: bool) -> Plan:
    place = Place(folder=folder, environ=environment(os.environ))
    ports = Ports(say)

    def chosen(name: str, default: int, what: str) -> int:
        return ports.near(port_from(place.environ, name, default), what=what)

    if on_postgres and DATABASE in place.environ:
        raise DevError(f"--postgres and {DATABASE} name two databases: leave one of them out")
    in_file = not on_postgres and DATABASE not in place.environ
    is_known = in_file and (folder / "data" / "backend.db").exists()
    return Plan(
        place=place,
        livekit=LiveKitConfig(
            port=ports.near(7880, what="LiveKit"),
            udp_port=ports.near(7882, what="LiveKit's media over UDP", udp=True),
            key=held.livekit_key,
            secret=held.livekit_secret,
            departure_timeout_s=DEPARTURE_TIMEOUT_S,
        ),
        valkey_port=ports.near(6380, what="Valkey"),
        backend_ports=(
            chosen("VOICE_BACKEND__PORT", 8480, "the backend"),
            chosen("VOICE_BACKEND__METRICS_PORT", 8481, "the backend's metrics"),
        ),
        worker_ports=(
            chosen("VOICE_WORKER__HEALTH_PORT", 8482, "the worker"),
            chosen("VOICE_WORKER__METRICS_PORT", 8483, "the worker's metrics"),
            chosen("VOICE_RELAY__METRICS_PORT", 8484, "the relay's metrics"),
        ),
        redis_password=held.redis_password,
        token=held.backend_token if is_known else None,
        postgres_port=ports.near(5433, what="PostgreSQL") if on_postgres else None,
        gemini_port=ports.near(8443, what="Gemini's stand-in") if with_gemini else None,
    )


def port_from(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return the port that a person wants a program to have.

    Raises:
        DevError: it is no port.
    """
    text = environ.get(name, str(default))
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise DevError(f"{name}={text} is no port: give a number from 1 to 65535")
    return int(text)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what the servers are started with: a person's VOICE_ names, and model keys."""
    passed = {name: value for name, value in given.items() if name.startswith(PASSED_ON)}
    return {**clean_environment(), **passed}


def _start(system: System, held: Secrets, book: Bookkeeper) -> None:
    folder = system.place.folder
    began_at = time.monotonic()
    with Progress().shown() as progress, progress.step("LiveKit, Valkey, backend and worker"):
        system.start()
    token = system.backend.token
    if system.postgres is None and DATABASE not in system.place.environ:
        secret_store.remember_token(folder / "secrets.json", held, token)
    url = system.page_url
    env_file.write(folder / "env", system.env)
    book.opened(url)
    say()
    say(f"Talk to it:  {url}")
    if system.postgres is not None:
        say(f"Its log:     {shown(system.postgres.data)} (PostgreSQL)")
    if system.gemini is not None:
        say("Its voice:   a stand-in for Gemini Live, without a key (docs/gemini.md)")
    say(f"Join it:     source {shown(folder / 'env')}    (started in"
        f" {time.monotonic() - began_at:.1f} s; logs in {shown(folder / 'logs')})")  # fmt: skip
    say("Ctrl-C stops everything.")


def _stop(system: System, requests: signals.Requests) -> None:
    """Stop in order, in a thread: a second Ctrl-C kills instead."""
    requests.stopping.set()
    system.cancel()
    say("stopping (the worker first, it delivers what is left; Ctrl-C again to force) ...")
    began_at = time.monotonic()
    thread = threading.Thread(target=system.stop, name="stop")
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if requests.forcing.is_set() or time.monotonic() - began_at > STOP_S:
            system.kill_all()
            thread.join()
            say("killed; what was not delivered yet is delivered by the next run")
            return
    say(f"stopped in {time.monotonic() - began_at:.1f} s; nothing is left running")


def _keep_last_log(log: Path) -> None:
    if log.exists():
        log.replace(log.with_name(log.name + KEPT_LOGS))


def stop(folder: Path = RUN) -> int:
    """Stop the running system, or what a killed one left behind; demos' left-overs too."""
    stopped = _stop_watched(folder)
    ended = 0
    for one in [folder, *sorted((folder / "demos").glob("*"))]:
        if not ledger.is_running(one):
            ended += ledger.end_left_over(one)
    if ended:
        say(f"ended {ended} processes that an earlier run had left behind")
    elif not stopped:
        say("nothing is running")
    return 0


def _stop_watched(folder: Path) -> bool:
    if not ledger.is_running(folder):
        return False
    held = ledger.read(folder)
    if held is None or held.watcher is None or not held.watcher.lives():
        raise DevError("a run is just starting or ending: try again in some seconds")
    say("stopping ...")
    held.watcher.signal(signals.STOPPING[1])
    deadline = time.monotonic() + STOP_S
    while ledger.is_running(folder):
        if time.monotonic() > deadline:
            raise DevError(f"process {held.watcher.pid} does not stop: kill -9 it, then try again")
        time.sleep(0.1)
    say("stopped")
    return True
