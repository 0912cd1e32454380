"""Two backends, each a process of its own, on one PostgreSQL: whichever is asked, it is one log."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from livekit import api

from devtools.ports import Ports
from devtools.servers.livekit import LiveKitServer
from devtools.servers.postgres import PostgresServer
from tests.backend.log_client import Log, event, message, ok
from tests.backend.plain import livekit_in
from tests.backend.process import Backend
from tests.backend.streams import following
from tests.backend.waiting import eventually
from tests.support.databases import on_server
from tests.support.servers import place_in

pytestmark = pytest.mark.timeout(90)
AT_ONCE_S = 2.0
"""Well below the time after which a reader looks by itself."""


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[LiveKitServer]:
    """A LiveKit server without any worker."""
    with livekit_in(tmp_path_factory.mktemp("lonely"), ports) as server:
        yield server


@pytest.fixture
def pair(
    tmp_path: Path, postgres: PostgresServer, lonely: LiveKitServer
) -> Iterator[tuple[Backend, Backend]]:
    """Two replicas that start at the same moment on an empty database."""
    shared = on_server(postgres).settings(tmp_path) | lonely.env
    shared["VOICE_BACKEND__DISPATCH_UNCLAIMED_S"] = "60"
    replicas = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        replicas.append(Backend(folder, **shared))
    for replica in replicas:
        replica.spawn()
    for replica in replicas:
        replica.wait_ready()
    yield replicas[0], replicas[1]
    for replica in replicas:
        replica.kill()


@pytest.fixture
def https(pair: tuple[Backend, Backend]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each, with one token that both know."""
    one, two = pair
    token = one.token()
    with one.client(token) as first, two.client(token) as second:
        yield first, second


def test_a_call_may_be_written_through_both(https: tuple[httpx.Client, httpx.Client]) -> None:
    """Registered here, stored there, cleared here, ended there."""
    here = Log.resolve(https[0], "both")
    there = Log.resolve(https[1], "both")
    assert there.id == here.id
    here.register("w")
    assert there.register("w")["fence"] == here.writers["w"]
    assert there.store("w", message(1), message(2))["positions"] == [1, 2]
    assert here.store("w", message(2), message(3))["positions"] == [2, 3]
    ok(there.beat("w"))
    cleared = ok(here.http.post(f"{here.path}/clear", json={"event_id": "c"}))
    assert (cleared["session_number"], cleared["position"]) == (1, 4)
    assert ok(there.beat("w", session_number=1))["session_number"] == 1
    assert ok(there.http.post(f"{there.path}/clear", json={"event_id": "c"})) == cleared | {
        "acknowledged": True
    }
    ok(there.end("w"))
    assert [e["kind"] for e in here.events()] == [
        "message",
        "message",
        "message",
        "context_cleared",
        "call_ended",
    ]
    assert here.shown() == there.shown()


def test_a_reader_on_the_other_replica_sees_everything_at_once(
    https: tuple[httpx.Client, httpx.Client],
) -> None:
    """Kept or not, a word stored here is shown there before anybody would look by himself."""
    here = Log.resolve(https[0], "live")
    here.register("w")
    here.store("w", message(1))
    with following(https[1], here.path, params={"after": 0}) as stream:
        stream.has(1)
        began = time.monotonic()
        here.store("w", message(2), event(3, "agent_state", state="speaking"))
        stream.has(3, within_s=AT_ONCE_S)
        assert time.monotonic() - began < AT_ONCE_S
        ok(https[0].post(f"{here.path}/clear", json={"event_id": "c"}))
        stream.has(4, within_s=AT_ONCE_S)
    assert stream.ids == [1, 2, 3]
    assert {each.body["kind"] for each in stream.sent} == {
        "message",
        "agent_state",
        "context_cleared",
    }


def test_the_database_away_for_a_while_is_met_and_everything_goes_on(
    tmp_path: Path, ports: Ports
) -> None:
    """503 and one clear line meanwhile; no restart; a follower misses nothing."""
    server = PostgresServer(place_in(tmp_path / "server"), port=ports.free(), durable=False)
    server.start()
    backend = Backend(tmp_path, **server.env)
    try:
        with backend.start().client(backend.token()) as http:
            log = Log.resolve(http, "away")
            log.register("w")
            log.store("w", message(1))
            with following(http, log.path, params={"after": 0}) as stream:
                stream.has(1)
                server.kill9()
                eventually(lambda: code_of(http.get("/readyz")) == "storage_unavailable")
                assert log.send("w", message(2)).status_code == 503
                server.start()
                eventually(lambda: http.get("/readyz").status_code == 200)
                log.store("w", message(2), message(3))
                stream.has(3)
            assert stream.ids == [1, 2, 3]
    finally:
        backend.kill()
        server.stop()
    assert "Traceback" not in backend.log()


def code_of(answer: httpx.Response) -> str | None:
    """What a refusal says to machines."""
    code: str | None = answer.json().get("code")
    return code


def test_a_replica_that_is_killed_is_replaced_by_the_other(
    pair: tuple[Backend, Backend], https: tuple[httpx.Client, httpx.Client]
) -> None:
    """What the dead one answered is there; what it had not answered is stored once."""
    here = Log.resolve(https[0], "killed")
    here.register("w")
    first = here.store("w", *(message(n) for n in range(1, 40)))
    pair[0].kill()
    there = Log(https[1], here.id)
    assert there.store("w", *(message(n) for n in range(1, 40))) == first
    there.store("w", message(40))
    assert [e["position"] for e in there.events()] == list(range(1, 41))


async def test_two_dispatchers_ask_for_one_agent_each_room(
    lonely: LiveKitServer, https: tuple[httpx.Client, httpx.Client]
) -> None:
    calls = [ok(http.post("/v1/calls"), 201) for http in https * 6]

    def all_asked() -> bool:
        shown = [ok(https[0].get(f"/v1/calls/{call['room']}")) for call in calls]
        return all(one["attempts"] > 0 for one in shown)

    await asyncio.to_thread(eventually, all_asked, within_s=30)
    for http in https * 3:  # and those who wake all of them up do not double any either
        for call in calls:
            ok(await asyncio.to_thread(http.post, f"/v1/calls/{call['room']}/agent"), 202)
    async with api.LiveKitAPI(lonely.url, lonely.config.key, lonely.config.secret) as admin:
        for call in calls:
            asked = await admin.agent_dispatch.list_dispatch(call["room"])
            assert [one.agent_name for one in asked].count("throughline") == 1
    shown = [ok(https[1].get(f"/v1/calls/{call['room']}")) for call in calls]
    assert [one["attempts"] for one in shown] == [1] * len(calls)
