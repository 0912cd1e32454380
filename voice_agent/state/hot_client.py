"""Redis, or a cluster of it, as something that runs scripts: with a deadline and a breaker.

A dead Redis costs each call one deadline, then nothing: the breaker lets a trial through once a
second. What Redis does wrong is one error of ours, because the remedy is one: go on without it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ChildDeadlockedError,
    IncorrectPolicyType,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)

from voice_agent.aio.breaker import Breaker
from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable, RequestRefused
from voice_agent.state.hot_scripts import Script, Word

log = logging.getLogger(__name__)

LAYER = "redis"
ERRORS = (
    RedisError,
    RedisClusterException,
    ChildDeadlockedError,
    IncorrectPolicyType,
    OSError,  # includes TimeoutError and ConnectionError
)
"""All that a call may raise below us."""
FAILURES = 3
REST_S = 1.0
CONNECTIONS = 16


class Commands(Protocol):
    """What we use of a Redis client; one node and a cluster have it alike."""

    def evalsha(self, sha: str, numkeys: int, *words: Any) -> Awaitable[Any]: ...  # Any: redis-py
    def eval(self, script: str, numkeys: int, *words: Any) -> Awaitable[Any]: ...
    def aclose(self) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPlace:
    """Where Redis is. ``url``: one node, or any node of a ``cluster``."""

    url: str
    cluster: bool = False
    timeout_s: float = 0.5


def connect(place: RedisPlace) -> Commands:
    """Make a client; it connects when it is first used.

    Raises:
        ValueError: the URL cannot be one.
    """
    if place.cluster:
        cluster: Commands = RedisCluster.from_url(place.url, **_options(place))
        return cluster
    return _node(place)


def _options(place: RedisPlace) -> dict[str, Any]:  # Any: redis-py's keyword arguments
    return {
        "protocol": 2,  # as fast as 3 (facts of 2026-11), without its handshake
        "socket_timeout": None,  # HotClient's deadline is over all of a call; two cost a fifth
        "socket_connect_timeout": place.timeout_s,
        "max_connections": CONNECTIONS,
        "driver_info": None,  # two commands less for each connection, and no look at the disk
        # an idle connection that the server closed meanwhile; all our scripts may be repeated
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    }


def _node(place: RedisPlace) -> Redis:
    node: Redis = Redis.from_url(place.url, **_options(place))
    return node


async def look(place: RedisPlace) -> None:
    """See whether Redis answers and is what the settings say.

    Raises:
        RequestRefused: the password is wrong, or it is a cluster and should be none, or the
            reverse: no waiting helps.
        LayerUnavailable: it does not answer.
    """
    try:
        async with asyncio.timeout(place.timeout_s), _node(place) as node:
            told = await node.info("cluster")
    except AuthenticationError as exc:
        raise RequestRefused(op="look", status=401, code="auth", detail=str(exc)) from exc
    except ResponseError:
        return  # it answers, and tells such things to nobody
    except ERRORS as exc:
        raise LayerUnavailable(layer=LAYER, op="look", detail=type(exc).__name__) from exc
    is_cluster = bool(int(told.get("cluster_enabled", 0)))
    if is_cluster is not place.cluster:
        kind = "a node of a cluster" if is_cluster else "no node of a cluster"
        raise RequestRefused(op="look", status=409, code="cluster", detail=f"it is {kind}")


class HotClient:
    """Runs our scripts in Redis."""

    def __init__(
        self,
        commands: Commands,
        *,
        clock: Clock,
        timeout_s: float,
        on_degraded: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """``on_degraded``: told when Redis fails, and when it is back."""
        self._commands = commands
        self._timeout_s = timeout_s
        self._on_degraded = on_degraded
        self._breaker = Breaker(clock=clock, failures=FAILURES, rest_s=REST_S)
        self.is_degraded = False

    @property
    def rest_left_s(self) -> float:
        """Seconds until the next call will be tried; 0 when it is worth trying now."""
        return self._breaker.rest_left_s

    async def run(
        self, op: str, script: Script, keys: Sequence[str], args: Sequence[Word] = ()
    ) -> Any:  # Any: what Lua answers; each caller knows its script
        """Run ``script``.

        Raises:
            LayerUnavailable: Redis failed, did not answer in time, or rests after failures.
        """
        if self._breaker.is_open:
            raise LayerUnavailable(
                layer=LAYER, op=op, detail="resting", retry_after_s=self._breaker.rest_left_s
            )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._evaluate(script, keys, args)
        except ERRORS as exc:
            self._breaker.failed()
            self._mark(exc, op)
            raise LayerUnavailable(layer=LAYER, op=op, detail=type(exc).__name__) from exc
        self._breaker.succeeded()
        if self.is_degraded:
            self.is_degraded = False
            log.warning("redis answers again", extra={"layer": LAYER, "op": op})
            self._on_degraded(False)
        return answer

    async def aclose(self) -> None:
        """Close the connections. May be repeated."""
        await self._commands.aclose()

    async def _evaluate(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        try:
            return await self._commands.evalsha(script.sha, len(keys), *keys, *args)
        except NoScriptError:  # a new node, or one that forgot
            return await self._commands.eval(script.text, len(keys), *keys, *args)

    def _mark(self, exc: BaseException, op: str) -> None:
        if self.is_degraded:
            return
        self.is_degraded = True
        log.warning("redis is away or refuses: calls go on without it",
                    extra={"layer": LAYER, "op": op, "error_type": type(exc).__name__})  # fmt: skip
        self._on_degraded(True)
