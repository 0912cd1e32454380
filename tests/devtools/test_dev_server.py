"""One server: started, waited for, killed, restarted, and ended with all it left behind."""

import sys
import threading
from pathlib import Path

import pytest

from devtools import processes
from devtools.errors import DevError
from devtools.ports import Ports
from devtools.servers.server import Cancelled, Place, Server, StartFailed, answers
from devtools.system import Plan, System
from devtools.watch import Watch
from tests.support.waiting import wait_until

WEB = "import http.server as h, sys; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]))"
WITH_CHILD = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time;"
    " time.sleep(600)'], start_new_session=True)\n"
)


class Program(Server):
    """A Python program that serves HTTP, or fails to."""

    name = "program"
    ready_s = 5.0
    stop_s = 0.5
    left_overs_s = 0.1

    def __init__(self, place: Place, *, port: int, code: str = WEB) -> None:
        super().__init__(place)
        self.port = port
        self.code = code

    @property
    def env(self) -> dict[str, str]:
        return {}

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code, str(self.port)]

    def is_ready(self) -> bool:
        return answers(self.port, "/") == 200


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


def test_a_started_server_can_serve_and_a_stopped_one_is_gone(place: Place, ports: Ports) -> None:
    with Program(place, port=ports.free()) as server:
        assert answers(server.port, "/") == 200
    assert answers(server.port, "/") is None
    assert not processes.marked(place.mark)


def test_a_killed_server_starts_again_on_its_port(place: Place, ports: Ports) -> None:
    with Program(place, port=ports.free()) as server:
        first = server.pid
        server.kill9()
        assert server.exit_code == -9
        server.start()
        assert server.pid != first
        assert server.is_ready()


def test_a_server_that_ends_at_its_start_says_why(place: Place, ports: Ports) -> None:
    server = Program(place, port=ports.free(), code="import sys; sys.exit('no room')")
    with pytest.raises(StartFailed, match="program ended at its start with code 1") as failed:
        server.start()
    assert "no room" in failed.value.details


def test_a_server_that_never_gets_ready_is_ended(place: Place, ports: Ports) -> None:
    server = Program(place, port=ports.free(), code="import time; time.sleep(600)")
    server.ready_s = 0.2  # type: ignore[misc]
    with pytest.raises(StartFailed, match="was not ready after"):
        server.start()
    assert not server.is_running


def test_a_start_that_is_called_off_ends_the_server(place: Place, ports: Ports) -> None:
    server = Program(place, port=ports.free(), code="import time; time.sleep(600)")
    threading.Timer(0.2, server.cancelled.set).start()
    with pytest.raises(Cancelled):
        server.start()
    assert not server.is_running


def test_a_stop_ends_stubborn_servers_and_their_detached_children(
    place: Place, ports: Ports
) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    with Program(place, port=ports.free(), code=stubborn + WITH_CHILD + WEB) as server:
        assert len(processes.marked(server.mark)) == 2
    assert not processes.marked(place.mark)


def test_a_server_that_dies_is_started_again(place: Place, ports: Ports) -> None:
    stopping = threading.Event()
    with Program(place, port=ports.free()) as server:
        watch = threading.Thread(target=Watch([server], stopping=stopping).run)
        watch.start()
        first = server.pid
        processes.Process(pid=first, started=processes.started(first) or "").signal(9)  # type: ignore[arg-type]
        wait_until(lambda: server.pid != first and server.is_ready())
        stopping.set()
        watch.join()


def test_a_server_that_keeps_dying_ends_the_watch(
    place: Place, ports: Ports, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devtools.watch.DELAYS_S", (0.0, 0.0))
    server = Program(place, port=ports.free(), code="import sys; sys.exit('no room')")
    server.spawn()
    with pytest.raises(DevError, match="program does not stay up"):
        Watch([server], stopping=threading.Event()).run()
    assert "program ended (exit code 1); its log:" in capsys.readouterr().out


def test_a_system_ends_the_worker_first_and_livekit_last(place: Place) -> None:
    system = System(Plan.on_free_ports(place))
    assert [one.name for one in system.servers] == ["worker", "backend", "valkey", "livekit"]


def test_a_sourced_env_file_does_not_reach_the_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "ws://elsewhere")
    monkeypatch.setenv("VOICE_OUTBOX__FOLDER", "/elsewhere")
    assert not {"LIVEKIT_URL", "VOICE_OUTBOX__FOLDER"} & Place(folder=tmp_path).environ.keys()
