"""What a person meets who starts the backend wrong: one clear line, exit code 1."""

import json
import socket
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.backend.log_client import refused as problem_of
from tests.backend.process import ROOT, Backend, command, free_port


def refused(folder: Path, *arguments: str, **settings: str) -> str:
    """Run a command that must refuse to start; return its one line."""
    done = command(folder, *arguments, settings=settings)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        line = refused(tmp_path, "serve", VOICE_BACKEND__PORT=port)
        assert f"port {port}" in line
        assert "VOICE_BACKEND__PORT" in line
        line = refused(
            tmp_path,
            "serve",
            VOICE_BACKEND__PORT=str(free_port()),
            VOICE_BACKEND__METRICS_PORT=port,
        )
        assert "VOICE_BACKEND__METRICS_PORT" in line


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    assert "VOICE_BACKEND__PROT" in refused(tmp_path, "migrate", VOICE_BACKEND__PROT="1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "70000"),
        ("LEASE_S", "0"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "mysql://h/d"),
    ],
)
def test_a_wrong_value_is_named_with_its_setting(tmp_path: Path, name: str, value: str) -> None:
    line = refused(tmp_path, "migrate", **{f"VOICE_BACKEND__{name}": value})
    assert f"VOICE_BACKEND__{name}" in line


def test_half_a_livekit_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path, "migrate", LIVEKIT_URL="ws://127.0.0.1:1")
    assert "LIVEKIT_API_KEY, LIVEKIT_API_SECRET missing" in line


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/backend.db"
    line = refused(tmp_path, "serve", VOICE_BACKEND__DATABASE_URL=url)
    assert str(tmp_path / "file") in line
    assert "writable" in line


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    file = tmp_path / "backend.db"
    file.write_text("precious " * 1000)
    assert "cannot open the database" in refused(tmp_path, "migrate")
    assert file.read_text() == "precious " * 1000


def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    assert command(tmp_path, "migrate").returncode == 0
    with sqlite3.connect(tmp_path / "backend.db") as db:
        db.execute("INSERT INTO schema_migrations (number, name) VALUES (9999, 'future')")
    db.close()
    assert "9999" in refused(tmp_path, "serve")


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    assert command(tmp_path, "migrate").returncode == 0
    assert command(tmp_path, "migrate").returncode == 0


def test_a_token_is_printed_alone(tmp_path: Path) -> None:
    done = command(tmp_path, "token", "create", "--tenant", "t", "--scope", "call", "--ttl-s", "5")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("tl_call_")
    assert len(done.stdout.split()) == 1


def test_openapi_json_is_current(tmp_path: Path) -> None:
    printed = command(tmp_path, "openapi").stdout
    committed = (ROOT / "backend" / "openapi.json").read_text("utf-8")
    assert printed == committed, "run: python -m backend openapi > backend/openapi.json"
    assert '"422"' not in committed


def test_every_route_of_the_api_page_is_in_openapi_json() -> None:
    paths = json.loads((ROOT / "backend" / "openapi.json").read_text("utf-8"))["paths"]
    c = "/v1/conversations/{conversation_id}"
    expected = {
        "/v1/conversations:resolve": {"post"},
        "/v1/conversations": {"get"},
        c: {"get"},
        f"{c}/clear": {"post"},
        f"{c}/fork": {"post"},
        f"{c}/export": {"get"},
        f"{c}/writers": {"post"},
        f"{c}/writers/{{writer_id}}/lease": {"put"},
        f"{c}/writers/{{writer_id}}/end": {"post"},
        f"{c}/events": {"get", "post"},
        f"{c}/messages": {"get"},
        f"{c}/search": {"get"},
        f"{c}/usage": {"get"},
        f"{c}/events/stream": {"get"},
        "/v1/profiles/{identity}": {"get", "put"},
        "/v1/calls": {"post"},
        "/v1/calls/{room}": {"get"},
        "/v1/calls/{room}/agent": {"post"},
        "/healthz": {"get"},
        "/readyz": {"get"},
    }
    assert {path: set(methods) for path, methods in paths.items()} == expected


def test_pages_are_served_with_headers_that_keep_strangers_out(tmp_path: Path) -> None:
    pages = tmp_path / "dist"
    (pages / "assets").mkdir(parents=True)
    (pages / "index.html").write_text("<title>call</title>")
    (pages / "assets" / "page.js").write_text("1")
    backend = Backend(
        tmp_path,
        VOICE_BACKEND__WEB_FOLDER=str(pages),
        LIVEKIT_URL="wss://livekit.example:7880",
        LIVEKIT_API_KEY="key",
        LIVEKIT_API_SECRET="s" * 32,
    ).start()
    try:
        page = httpx.get(backend.url)
        script = httpx.get(f"{backend.url}/assets/page.js")
        gone = httpx.get(f"{backend.url}/assets/../../backend.db")
    finally:
        backend.stop()
    assert page.text == "<title>call</title>"
    assert "javascript" in script.headers["content-type"]
    assert gone.status_code == 404
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self' wss://livekit.example:7880 https://livekit.example:7880" in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_without_built_pages_one_line_says_how_to_build_them(backend: Backend) -> None:
    page = httpx.get(backend.url)
    assert "npm run build" in page.text
    assert page.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing.js", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/conversations", 405),
        ("TRACE", "/v1/conversations/c/events", 405),
        ("PUT", "/healthz", 405),
    ],
)
def test_a_path_or_method_that_is_not_there_is_a_problem(
    backend: Backend, method: str, path: str, status: int
) -> None:
    """Also where no pages are built: nothing unknown is ever a 500."""
    problem_of(httpx.request(method, f"{backend.url}{path}"), status)


def test_metrics_count_requests_by_route_and_events(tmp_path: Path) -> None:
    port = free_port()
    backend = Backend(tmp_path, VOICE_BACKEND__METRICS_PORT=str(port)).start()
    try:
        httpx.get(f"{backend.url}/v1/conversations/secret-id")
        series = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    finally:
        backend.stop()
    route = 'route="/v1/conversations/{conversation_id}",status="401"'
    assert f'throughline_backend_request_seconds_count{{method="GET",{route}}} 1.0' in series
    assert "secret-id" not in series
    assert "throughline_backend_events_accepted_total" in series


def test_without_livekit_calls_say_so_and_the_rest_works(http: httpx.Client) -> None:
    answer = http.post("/v1/calls")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_livekit")
    assert int(answer.headers["retry-after"]) > 0
    assert "LIVEKIT_URL" in answer.json()["detail"]
