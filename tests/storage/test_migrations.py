"""Databases of every earlier version, with data in them, and what becomes of them."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from backend.errors import StartRefused
from backend.rules.events import check_batch
from backend.settings import Settings
from backend.storage.choice import open_storage
from backend.storage.migrations import known
from backend.storage.postgres import migrate as on_postgres
from backend.storage.records import Batch, Reader
from backend.storage.sqlite import migrate as on_sqlite
from tests.backend.log_client import event, message
from tests.backend.process import command
from tests.support.databases import FILE, Database

CORPUS = Path(__file__).parents[1] / "corpus" / "databases"
FOLDERS = {"sqlite": on_sqlite.FOLDER, "postgres": on_postgres.FOLDER}
LATER = 9_999
WITH_PROFILES = 2
NOW = 1_795_233_700_000
TENANT, ID = "corpus", "conversation-1"
READER = Reader(tenant=TENANT)
Rows = dict[str, list[dict[str, Any]]]  # Any: columns
VERSIONS = sorted(int(path.stem[1:]) for path in CORPUS.glob("v*.json"))


def data_of(version: int) -> Rows:
    """Read what a database of a version held."""
    rows: Rows = json.loads((CORPUS / f"v{version}.json").read_text("utf-8"))
    for row in (row for table in rows.values() for row in table):
        for name, value in row.items():
            if isinstance(value, dict):
                row[name] = bytes.fromhex(value["hex"])
    return rows


def fill(database: Database, folder: Path, version: int) -> str:
    """Make a database of an earlier version, with its data; return its address."""
    address = database.address(folder)
    if database.kind == "sqlite":
        _fill_file(folder / FILE, version)
    else:
        asyncio.run(_fill_postgres(address, version))
    return address


def _fill_file(file: Path, version: int) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        on_sqlite.migrate(db, version)
        for table, rows in data_of(version).items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                into = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
                db.execute(into, tuple(row.values()))


async def _fill_postgres(address: str, version: int) -> None:
    db = await asyncpg.connect(address)
    try:
        await on_postgres.migrate(db, version)
        for table, rows in data_of(version).items():
            found = await db.fetch(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_name = $1",
                table,
            )
            types = {row["column_name"]: row["data_type"] for row in found}
            for row in rows:
                values = [
                    bool(value) if types[name] == "boolean" else value
                    for name, value in row.items()
                ]
                marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
                await db.execute(
                    f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", *values
                )
    finally:
        await db.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_every_earlier_version_is_brought_forward_with_its_data(
    database: Database, version: int, tmp_path: Path
) -> None:
    """What was there is read, what was known stays known, and the next batch goes behind it."""
    address = fill(database, tmp_path, version)

    async def look() -> None:
        storage = open_storage(Settings(database_url=address))
        await storage.open()
        try:
            shown = await storage.conversation(READER, ID, now_ms=NOW)
            assert (shown.session_number, shown.version, shown.last_position) == (1, 1, 9)
            assert [(gap.writer_id, gap.first, gap.last) for gap in shown.missing] == [
                ("writer-2", 3, 3)
            ]
            messages = await storage.messages(READER, ID, last=10, before=None)
            assert [msgspec.json.decode(one)["text"] for one in messages] == [
                "where is my order?",
                "on its way",
                "and the invoice?",
                "sent",
            ]
            assert (await storage.call(READER, "room-1")).state == "dispatching"
            (hit,) = await storage.search(READER, ID, ["invoice"], limit=5)
            assert msgspec.json.decode(hit.event)["event_id"] == "f2"
            profile = await storage.profile(TENANT, "ada")
            assert (profile is not None) == (version >= WITH_PROFILES)
            token = await storage.token(bytes.fromhex("11" * 32))
            assert token is not None
            assert token.tenant == TENANT
            again = message(2, "user", "and the invoice?", event_id="f2", turn_id="turn-2")
            new = event(3, "turn_ended", event_id="f3", outcome="completed", turn_id="turn-2")
            batch = Batch(
                conversation_id=ID,
                writer_id="writer-2",
                events=check_batch(ID, "writer-2", [again, new]),
            )
            stored = await storage.store_events(TENANT, batch, now_ms=NOW)
            assert (stored.positions, stored.acknowledged) == ((8, 10), 4)
            cleared = await storage.clear(
                TENANT, ID, event_id="clear-1", reason="asked for", now_ms=NOW
            )
            assert cleared.session_number == 1
        finally:
            await storage.close()

    asyncio.run(look())


def test_every_version_has_data_in_the_corpus(database: Database) -> None:
    """Whoever adds a migration adds what the schema before it held, with the newest left out."""
    newest = known(FOLDERS[database.kind])[-1].number
    assert set(range(1, newest)) <= set(VERSIONS)


def test_a_database_of_a_later_version_is_refused_untouched(
    database: Database, tmp_path: Path
) -> None:
    address = fill(database, tmp_path, 1)

    async def refused() -> str:
        with pytest.raises(StartRefused) as caught:
            await open_storage(Settings(database_url=address)).open()
        return str(caught.value)

    note = f"INSERT INTO schema_migrations (number, name) VALUES ({LATER}, 'later')"
    if database.kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
            db.execute(note)
    else:
        asyncio.run(_run(address, note))
    before = database.dump(tmp_path, "conversations")
    assert str(LATER) in asyncio.run(refused())
    assert database.dump(tmp_path, "conversations") == before


async def _run(address: str, sql: str) -> None:
    db = await asyncpg.connect(address)
    await db.execute(sql)
    await db.close()


def test_the_command_migrates_and_a_second_time_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    fill(database, tmp_path, 1)
    settings = database.settings(tmp_path)
    assert command(tmp_path, "migrate", settings=settings).returncode == 0
    once = database.dump(tmp_path, "schema_migrations")
    assert command(tmp_path, "migrate", settings=settings).returncode == 0
    assert database.dump(tmp_path, "schema_migrations") == once


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://me:secret@127.0.0.1:1/log", "127.0.0.1:1/log"),
        ("postgresql://127.0.0.1:no/log", "VOICE_BACKEND__DATABASE_URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(
    tmp_path: Path, address: str, said: str
) -> None:
    done = command(tmp_path, "serve", settings={"VOICE_BACKEND__DATABASE_URL": address})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "VOICE_BACKEND__DATABASE_URL" in line
    assert "secret" not in line
