"""The connections to PostgreSQL: a bounded pool, a deadline for everything, errors in our words.

When the pool is empty a request waits within its deadline, and is refused when too many wait. When
the database is away every method raises Unavailable at once or at the deadline; the pool makes
new connections by itself as soon as the database is back.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import asyncpg

from backend.errors import Malformed, StartRefused, Unavailable

Db = Any
"""A connection of asyncpg, which has no types."""

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING: Final = 2_000
"""Requests that may wait for a connection; more are refused with 503: they would time out."""
APPLICATION: Final = "throughline-backend"
MAX_ATTEMPTS: Final = 5
_RETRY_S: Final = 0.02
_CLOSE_S: Final = 5.0
_NUL: Final = "22021"
_DISK_FULL: Final = "53100"
_AGAIN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one
)
"""Everything asyncpg raises."""


class Engine:
    """One pool. ``timeout_s``: the longest any method takes, waiting for a connection included."""

    def __init__(self, url: str, *, connections: int, timeout_s: float) -> None:
        self._url = url
        self._connections = connections
        self._timeout_s = timeout_s
        self._waiting_count = 0
        self._pool: Any = None  # Any: asyncpg has no types

    async def open(self, prepare: Callable[[Db], Awaitable[T]]) -> T:
        """Connect, run ``prepare`` without a deadline (an index takes its time), make the pool."""
        try:
            db = await asyncpg.connect(self._url, timeout=self._timeout_s)
            try:
                prepared = await prepare(db)
            finally:
                await db.close(timeout=_CLOSE_S)
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._connections,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s,
                reset=_nothing_to_reset,
                server_settings=self._server_settings(),
            )
        except (*FAILURES, ValueError) as exc:
            raise StartRefused(
                f"cannot use the database {place_of(self._url)}: {_said(exc)}; is it running,"
                " and is VOICE_BACKEND__DATABASE_URL right?"
            ) from exc
        return prepared

    def _server_settings(self) -> dict[str, str]:
        """A replica that froze or lost its network must not keep a conversation's lock."""
        deadline_ms = str(round(self._timeout_s * 1000))
        return {
            "application_name": APPLICATION,
            "jit": "off",  # the statements are short: compiling one costs more than it saves
            "statement_timeout": deadline_ms,
            "idle_in_transaction_session_timeout": deadline_ms,
            "default_transaction_isolation": "read committed",
        }

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator[Db]:
        """Connect beside the pool, for as long as it is needed; raise Unavailable."""
        try:
            db = await asyncpg.connect(
                self._url,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s,
                server_settings={"application_name": APPLICATION},
            )
            try:
                yield db
            finally:
                db.terminate()
        except FAILURES as exc:
            raise translated(exc) from exc

    async def close(self) -> None:
        """Wait for what was begun, then close every connection."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._pool.close()
        except (TimeoutError, *FAILURES):
            self._pool.terminate()

    async def run(
        self, work: Callable[Concatenate[Db, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work``, each of its statements a transaction of its own."""
        return await self._answered(lambda db: work(db, *args, **kwargs))

    async def transact(
        self, work: Callable[Concatenate[Db, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work`` in one transaction; it is durable when this returns.

        Run again from the start when PostgreSQL chose it as the victim of a deadlock.
        Raises Unavailable: nothing was stored, or the answer was lost: safe to repeat.
        """

        async def whole(db: Db) -> T:
            async with db.transaction():
                return await work(db, *args, **kwargs)

        return await self._answered(whole)

    async def _answered(self, work: Callable[[Db], Awaitable[T]]) -> T:
        if self._pool is None:
            raise Unavailable("closed", "the database is closed")
        if self._waiting_count >= MAX_WAITING:
            raise Unavailable("busy", "too many requests wait for the database", retry_after_s=1)
        self._waiting_count += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._attempts(work)
        except FAILURES as exc:
            raise translated(exc) from exc
        finally:
            self._waiting_count -= 1

    async def _attempts(self, work: Callable[[Db], Awaitable[T]]) -> T:
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                return await self._once(work)
            except _AGAIN:
                await asyncio.sleep(random.uniform(0, _RETRY_S * attempt))  # noqa: S311 - jitter
        return await self._once(work)

    async def _once(self, work: Callable[[Db], Awaitable[T]]) -> T:
        async with self._pool.acquire(timeout=self._timeout_s) as db:
            return await work(db)


async def _nothing_to_reset(_: Db) -> None:
    """Save a round trip: no statement of ours leaves anything behind in its session."""


def translated(exc: BaseException) -> Unavailable | Malformed:
    """Say in our words what PostgreSQL, or the way to it, refused."""
    state = getattr(exc, "sqlstate", None)
    if state == _NUL:
        return Malformed("malformed", "a text cannot hold the character U+0000")
    if state == _DISK_FULL:
        return Unavailable("storage_full", "the disk of the database is full", retry_after_s=10)
    name = type(exc).__name__
    return Unavailable("storage_unavailable", f"the database failed ({name})", retry_after_s=2)


def place_of(url: str) -> str:
    """Name a database without its user and password."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'on a local socket'}{parts.path}"


def _said(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
