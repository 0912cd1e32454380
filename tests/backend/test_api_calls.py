"""Calls: a room, a token of least grants, and an agent that arrives, whatever happened before.

A real LiveKit server, real workers in processes of their own, real callers.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import jwt
import pytest
from anyio.to_thread import run_sync as in_thread
from livekit import api, rtc
from livekit.protocol.models import ParticipantInfo

from devtools.ports import Ports
from devtools.servers.livekit import LiveKitServer
from tests.backend.log_client import AT, Json, Log, ok, refused
from tests.backend.plain import PlainWorker, livekit_in
from tests.backend.process import Backend
from tests.backend.waiting import eventually
from tests.support.databases import Database

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def livekit(livekit_server: LiveKitServer) -> LiveKitServer:
    """A LiveKit server; whoever wants one without a worker takes ``lonely``."""
    return livekit_server


@pytest.fixture(scope="module")
def calls(
    livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory, database: Database
) -> Iterator[Backend]:
    """A backend that is quick to judge."""
    folder = tmp_path_factory.mktemp("calls")
    backend = Backend(
        folder,
        VOICE_BACKEND__LEASE_S="0.6",
        VOICE_BACKEND__AGENT_LOST_S="0.6",
        **livekit.env,
        **database.settings(folder),
    )
    yield backend.start()
    assert backend.stop() == 0


@pytest.fixture(scope="module")
def page(calls: Backend) -> Iterator[httpx.Client]:
    """What a browser page holds: a token of scope ``call``."""
    with calls.client(calls.token("call", ttl_s=600)) as client:
        yield client


@pytest.fixture(scope="module")
def agent(calls: Backend) -> Iterator[httpx.Client]:
    """What an agent holds."""
    with calls.client(calls.token("agent")) as client:
        yield client


@pytest.fixture(scope="module")
def worker(
    livekit: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainWorker]:
    """A worker that is there."""
    with PlainWorker(tmp_path_factory.mktemp("worker"), livekit) as plain:
        yield plain


@pytest.fixture
def lonely(tmp_path: Path, ports: Ports) -> Iterator[LiveKitServer]:
    """A LiveKit server without any worker."""
    with livekit_in(tmp_path / "lonely", ports) as server:
        yield server


@pytest.fixture
def lonely_backend(lonely: LiveKitServer, tmp_path: Path) -> Iterator[Backend]:
    """A backend beside it."""
    folder = tmp_path / "lonely-backend"
    folder.mkdir()
    backend = Backend(folder, VOICE_BACKEND__DISPATCH_UNCLAIMED_S="2", **lonely.env)
    yield backend.start()
    backend.kill()


@pytest.fixture
def lonely_page(lonely_backend: Backend) -> Iterator[httpx.Client]:
    """A page of it."""
    with lonely_backend.client(lonely_backend.token("call")) as client:
        yield client


@asynccontextmanager
async def joined(call: Json) -> AsyncIterator[rtc.Room]:
    """Be in a call's room."""
    room = rtc.Room()
    await room.connect(call["url"], call["token"])
    try:
        yield room
    finally:
        await room.disconnect()


async def state(http: httpx.Client, call: Json, agent: str, **more: object) -> Json:
    """Wait until the search for an agent says ``agent`` (and every ``more``)."""
    wanted = {"agent": agent} | more

    def look() -> Json | None:
        shown = ok(http.get(f"/v1/calls/{call['room']}"))
        return shown if wanted.items() <= shown.items() else None

    return await in_thread(lambda: eventually(look, within_s=30)) or {}


async def opened(http: httpx.Client, **body: object) -> Json:
    """Open a call."""
    return ok(await in_thread(lambda: http.post("/v1/calls", json=body)), 201)


async def only_agent(livekit: LiveKitServer, call: Json) -> str:
    """Wait until one agent is in the room, and no more; return its identity.

    LiveKit is asked: a caller hears of an agent that publishes nothing only seconds later.
    """
    async with api.LiveKitAPI(livekit.url, livekit.config.key, livekit.config.secret) as admin:

        async def listed() -> list[str]:
            request = api.ListParticipantsRequest(room=call["room"])
            found = await admin.room.list_participants(request)
            kind = ParticipantInfo.Kind.AGENT
            return [p.identity for p in found.participants if p.kind == kind]

        async with asyncio.timeout(10):
            while len(found := await listed()) != 1:
                pass
    return found[0]


async def dispatches(livekit: LiveKitServer, call: Json) -> list[str]:
    """List the dispatches of our agent that LiveKit holds for a room."""
    async with api.LiveKitAPI(livekit.url, livekit.config.key, livekit.config.secret) as admin:
        found = await admin.agent_dispatch.list_dispatch(call["room"])
    return [d.id for d in found if d.agent_name == "throughline"]


async def test_a_call_is_answered_at_once_and_an_agent_joins(
    page: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    call = await opened(page, identity="ann", name="Ann")
    assert set(call) == {"url", "token", "room", "conversation_id", "identity"}
    assert call["identity"] == "ann"
    async with joined(call) as room:
        shown = await state(page, call, "joined", attempts=1)
        assert shown["conversation_id"] == call["conversation_id"]
        await only_agent(livekit, call)
        assert json.loads(room.metadata) == {"conversation_id": call["conversation_id"]}


def test_the_callers_token_grants_this_room_a_microphone_and_nothing_else(
    page: httpx.Client, livekit: LiveKitServer
) -> None:
    call = ok(page.post("/v1/calls"), 201)
    config = livekit.config
    claims = jwt.decode(call["token"], config.secret, algorithms=["HS256"], issuer=config.key)
    assert 590 <= claims["exp"] - claims["nbf"] <= 600
    assert claims["sub"] == call["identity"]
    assert claims["video"] == {
        "roomJoin": True,
        "room": call["room"],
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canPublishData": True,
        "canSubscribe": True,
        "canUpdateOwnMetadata": False,
    }
    assert "roomConfig" not in claims


async def test_an_agent_joins_though_no_worker_was_there_when_the_call_came(
    lonely_page: httpx.Client, lonely: LiveKitServer, tmp_path: Path
) -> None:
    """LiveKit drops such a dispatch for good."""
    call = await opened(lonely_page)
    async with joined(call):
        await state(lonely_page, call, "dispatching", attempts=2)
        with PlainWorker(tmp_path, lonely):
            await state(lonely_page, call, "joined")
            await only_agent(lonely, call)
            assert len(await dispatches(lonely, call)) == 1, "what was asked in vain is taken back"


async def test_a_call_into_a_conversation_joins_the_room_somebody_is_in(
    page: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    first = await opened(page)
    body = {"conversation_id": first["conversation_id"]}
    async with joined(first):
        await state(page, first, "joined")
        second = await opened(page, **body)
        assert second["room"] == first["room"]
        await state(page, first, "joined", attempts=1)
        await only_agent(livekit, first)


async def test_a_call_into_a_conversation_whose_rooms_are_empty_gets_a_new_room(
    lonely_page: httpx.Client,
) -> None:
    first = await opened(lonely_page)
    body = {"conversation_id": first["conversation_id"]}
    second = await opened(lonely_page, **body)
    assert second["conversation_id"] == first["conversation_id"]
    assert second["room"] != first["room"]


async def test_an_agent_whose_heartbeat_stops_is_replaced_and_never_beside_another(
    page: httpx.Client, agent: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    """It stays listed for 20 s: presence alone lies."""
    call = await opened(page)
    async with joined(call):
        await state(page, call, "joined")
        first = await only_agent(livekit, call)
        log = Log(agent, call["conversation_id"])
        log.register("w", room=call["room"])
        stopped = threading.Event()

        def beat() -> None:
            while not stopped.wait(0.2):
                ok(log.beat("w"))

        with ThreadPoolExecutor() as pool:
            beating = pool.submit(beat)
            try:
                await in_thread(lambda: stopped.wait(3))  # agents live through many looks
                await state(page, call, "joined", attempts=1)
            finally:
                stopped.set()
            beating.result()
        await state(page, call, "joined", attempts=2)
        assert await only_agent(livekit, call) != first


async def test_an_agent_that_ended_while_somebody_waits_is_replaced(
    page: httpx.Client, agent: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    call = await opened(page)
    async with joined(call):
        await state(page, call, "joined")
        log = Log(agent, call["conversation_id"])
        log.register("w", room=call["room"])
        ok(log.end("w", reason="crashed"))
        await state(page, call, "joined", attempts=2)
        await only_agent(livekit, call)


async def test_a_killed_agent_is_replaced_and_its_ghost_taken_off_the_list(
    lonely_page: httpx.Client, lonely_backend: Backend, lonely: LiveKitServer, tmp_path: Path
) -> None:
    """The relay of its pod records the end; LiveKit would list it for 20 s more."""
    call = await opened(lonely_page)
    async with joined(call):
        with PlainWorker(tmp_path / "first", lonely) as first:
            await state(lonely_page, call, "joined")
            ghost = await only_agent(lonely, call)
            first.kill_all()
        token = await in_thread(lambda: lonely_backend.token("agent"))
        with PlainWorker(tmp_path / "second", lonely), lonely_backend.client(token) as relay:
            log = Log(relay, call["conversation_id"])
            await in_thread(lambda: log.register("w", room=call["room"]))
            ok(await in_thread(lambda: log.end("w", reason="crashed")))
            await state(lonely_page, call, "dispatching")
            await state(lonely_page, call, "joined")
            assert await only_agent(lonely, call) != ghost


async def test_reconnect_finds_an_agent_again_after_everyone_had_gone(
    page: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    """The agent was thrown out; the page asks to make sure again."""
    call = await opened(page)
    async with joined(call):
        await state(page, call, "joined")
        identity = await only_agent(livekit, call)
        async with api.LiveKitAPI(livekit.url, livekit.config.key, livekit.config.secret) as admin:
            await admin.room.remove_participant(
                api.RoomParticipantIdentity(room=call["room"], identity=identity)
            )
        asked = await in_thread(lambda: page.post(f"/v1/calls/{call['room']}/agent"))
        assert asked.status_code == 202
        await state(page, call, "joined", attempts=2)
        await only_agent(livekit, call)


async def test_a_restarted_backend_goes_on_looking_for_an_agent(
    lonely_page: httpx.Client, lonely_backend: Backend, lonely: LiveKitServer, tmp_path: Path
) -> None:
    call = await opened(lonely_page)
    async with joined(call):
        await state(lonely_page, call, "dispatching", attempts=1)
        lonely_backend.kill()
        with PlainWorker(tmp_path, lonely):
            lonely_backend.start()
            await state(lonely_page, call, "joined")
            await only_agent(lonely, call)


async def test_the_search_ends_when_the_room_is_gone(
    page: httpx.Client, livekit: LiveKitServer, worker: PlainWorker
) -> None:
    call = await opened(page)
    async with joined(call):
        before = await state(page, call, "joined")
    async with api.LiveKitAPI(livekit.url, livekit.config.key, livekit.config.secret) as admin:
        await admin.room.delete_room(api.DeleteRoomRequest(room=call["room"]))
    ok(await in_thread(lambda: page.post(f"/v1/calls/{call['room']}/agent")), 202)
    after = await state(page, call, "absent")
    assert after["attempts"] == before["attempts"]
    assert "closed" in after["detail"]


def test_livekit_away_is_said_and_the_call_goes_on_when_it_is_back(
    tmp_path: Path, ports: Ports
) -> None:
    away = livekit_in(tmp_path / "livekit", ports)
    backend = Backend(tmp_path, **away.env).start()
    try:
        with backend.client(backend.token("call")) as http:
            call = ok(http.post("/v1/calls"), 201)
            path = f"/v1/calls/{call['room']}"
            eventually(lambda: "cannot be reached" in ok(http.get(path))["detail"])
            assert ok(http.get(path))["agent"] == "dispatching"
            away.start()
            eventually(lambda: ok(http.get(path))["attempts"] > 0, within_s=30)
            assert "cannot be reached" not in ok(http.get(path))["detail"]
    finally:
        backend.kill()
        away.stop()


def test_a_wrong_livekit_key_is_said(livekit: LiveKitServer, tmp_path: Path) -> None:
    wrong = livekit.env | {"LIVEKIT_API_SECRET": "x" * 40}
    backend = Backend(tmp_path, **wrong).start()
    try:
        with backend.client(backend.token("call")) as http:
            call = ok(http.post("/v1/calls"), 201)
            path = f"/v1/calls/{call['room']}"
            detail = eventually(
                lambda: (
                    ok(http.get(path))["detail"] != "asking for an agent"
                    and ok(http.get(path))["detail"]
                )
            )
            assert "LIVEKIT_API_SECRET" in str(detail)
    finally:
        backend.kill()


def test_a_call_token_sees_what_it_opened_and_nobody_elses(
    calls: Backend, page: httpx.Client, agent: httpx.Client
) -> None:
    call = ok(page.post("/v1/calls"), 201)
    path = f"/v1/conversations/{call['conversation_id']}"
    assert ok(page.get(path))["id"] == call["conversation_id"]
    assert ok(agent.get(path))["id"] == call["conversation_id"]
    with calls.client(calls.token("call")) as other:
        refused(other.get(path), 404)
        refused(other.get(f"/v1/calls/{call['room']}"), 404)
        refused(other.post(f"/v1/calls/{call['room']}/agent"), 404)
        body = {"conversation_id": call["conversation_id"]}
        refused(other.post("/v1/calls", json=body), 404, "unknown_conversation")


@pytest.mark.parametrize(
    "body",
    [
        {"conversation_id": "a b"},
        {"identity": ""},
        {"identity": "x" * 129},
        {"identity": "agent-AJ_x"},
        {"name": 5},
        [],
    ],
)
def test_a_malformed_call_is_refused(page: httpx.Client, body: object) -> None:
    refused(page.post("/v1/calls", json=body), 400)


def test_an_unknown_conversation_or_room_is_404(page: httpx.Client) -> None:
    refused(page.post("/v1/calls", json={"conversation_id": "none"}), 404)
    refused(page.get("/v1/calls/none"), 404, "unknown_room")
    refused(page.post("/v1/calls/none/agent"), 404, "unknown_room")


def test_a_registered_writer_of_another_room_says_nothing_about_this_one(
    page: httpx.Client, agent: httpx.Client
) -> None:
    call = ok(page.post("/v1/calls"), 201)
    log = Log(agent, call["conversation_id"])
    log.register("w", room="another-room", started_at=AT)
    assert ok(page.get(f"/v1/calls/{call['room']}"))["agent"] == "dispatching"
