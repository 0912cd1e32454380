"""The threads of SQLite: one that writes, and commits for many at once; some that read.

A write is a function of the connection. The writer thread takes all that are waiting, runs each
in a savepoint of one transaction, commits, and only then answers: so an answer means "on disk",
and sixty requests cost one fdatasync. When the commit fails, none of them was stored and all of
them hear so.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from backend.errors import BackendError, StartRefused, Unavailable

Work = Callable[[sqlite3.Connection], Any]  # Any: what each statement returns, typed by the caller

MAX_WAITING: Final = 2_000
"""Writes that may wait; more are refused with 503, because they would time out anyway."""
MAX_GROUP: Final = 64
READERS: Final = 4
STATEMENTS: Final = 256  # kept prepared: there is one for each number of rows
BUSY_MS: Final = 5_000  # another program, a backup for example, may hold the file for a moment


@dataclass(slots=True)
class _Write:
    work: Work
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    then: Callable[[Any], None] | None = None
    result: Any = None
    error: BaseException | None = None


class Engine:
    """The connections to one database file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._waiting_count = 0
        self._writer: threading.Thread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._closing = False

    async def open(self, prepare: Work) -> Any:
        """Open the file, run ``prepare`` on it, start the threads."""
        return await asyncio.to_thread(self._open, prepare)

    async def close(self) -> None:
        """Finish the writes that wait, then close the file."""
        self._closing = True
        await asyncio.to_thread(self._close)

    async def write(self, work: Work, *, then: Callable[[Any], None] | None = None) -> Any:
        """Run ``work`` in a transaction and return once it is durable.

        ``then`` hears the result on the loop, also when the caller has left meanwhile.
        Raises Unavailable when nothing was stored: too many writes wait, or the disk refuses.
        Cancellation: the write may happen or not.
        """
        if self._closing or self._waiting_count >= MAX_WAITING:
            raise Unavailable("busy", "too many writes are waiting", retry_after_s=1)
        loop = asyncio.get_running_loop()
        write = _Write(work, loop, loop.create_future(), then)
        self._waiting_count += 1
        self._waiting.put(write)
        return await write.future

    async def read(self, work: Work) -> Any:
        """Run ``work`` on a reader's connection: it sees everything answered before."""
        if self._readers is None:
            raise Unavailable("closed", "the database is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    def _open(self, prepare: Work) -> Any:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = connect(self._path)
            prepared = prepare(db)
        except (OSError, sqlite3.Error) as exc:
            raise StartRefused(
                f"cannot open the database {self._path}: {exc};"
                " is the folder writable, and is there space on the disk?"
            ) from exc
        self._writer = threading.Thread(
            target=self._run, args=(db,), name="sqlite-writer", daemon=True
        )
        self._writer.start()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        return prepared

    def _close(self) -> None:
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
        if self._readers is not None:
            self._readers.shutdown()
        for db in self._open_readers:
            db.close()

    def _read(self, work: Work) -> Any:
        try:
            db: sqlite3.Connection | None = getattr(self._local, "db", None)
            if db is None:
                db = connect(self._path)
                db.execute("PRAGMA query_only=1")
                self._local.db = db
                self._open_readers.append(db)
            return work(db)
        except sqlite3.Error as exc:
            raise unavailable(exc) from exc

    def _run(self, db: sqlite3.Connection) -> None:
        ending = False
        while not ending:
            group: list[_Write] = []
            item = self._waiting.get()
            while item is not None:
                group.append(item)
                if len(group) == MAX_GROUP:
                    break
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            ending = item is None
            if group:
                _commit(db, group)
                self._answer(group)
        db.close()

    def _answer(self, group: list[_Write]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
        for write in group:
            by_loop.setdefault(write.loop, []).append(write)
        for loop, writes in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, writes)

    def _settle(self, writes: list[_Write]) -> None:
        for write in writes:
            self._waiting_count -= 1
            if write.error is None and write.then is not None:
                write.then(write.result)
            if write.future.done():  # cancelled meanwhile: stored all the same
                continue
            if write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.result)


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection as every part of this program needs it."""
    db = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
    )
    db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA cache_size=-16384")
    return db


def unavailable(exc: sqlite3.Error) -> Unavailable:
    """Say in words what SQLite refused."""
    name = getattr(exc, "sqlite_errorname", type(exc).__name__)
    if name == "SQLITE_FULL":
        return Unavailable("storage_full", "the disk of the database is full", retry_after_s=10)
    return Unavailable("storage_unavailable", f"the database failed ({name})", retry_after_s=2)


def _commit(db: sqlite3.Connection, group: list[_Write]) -> None:
    """Run a group in one transaction. Every write has its result or error afterwards."""
    try:
        db.execute("BEGIN IMMEDIATE")
        for write in group:
            _run_one(db, write)
        db.execute("COMMIT")
    except sqlite3.Error as exc:
        if db.in_transaction:
            db.execute("ROLLBACK")
        for write in group:
            write.error = unavailable(exc)


def _run_one(db: sqlite3.Connection, write: _Write) -> None:
    db.execute("SAVEPOINT request")
    try:
        write.result = write.work(db)
    except BackendError as exc:
        write.error = exc
    except sqlite3.Error as exc:
        if not db.in_transaction:  # SQLite gave up the whole transaction: disk full, I/O error
            raise
        write.error = unavailable(exc)
    except BaseException as exc:  # noqa: BLE001 - the thread must live; the request's handler logs it
        write.error = exc
    if write.error is not None:
        db.execute("ROLLBACK TO request")
    db.execute("RELEASE request")
