"""The hot tier as the operator set it: what a job and the relay share through Redis."""

from collections.abc import Callable

from config.settings import Settings, SettingsError
from voice_agent.aio.clock import Clock
from voice_agent.domain.errors import LayerUnavailable, RequestRefused
from voice_agent.state.handles import SharedHandles
from voice_agent.state.hot_cache import HotCache
from voice_agent.state.hot_lease import HotLeases
from voice_agent.state.hot_tier import HotTier
from voice_agent.state.keys import Keys, tenant_of


async def look_at_redis(settings: Settings, *, within_s: float) -> str | None:
    """Say in a line that Redis does not answer; None if it does, or if there is none to ask.

    Raises:
        SettingsError: it refuses the password, or VOICE_HOT_CACHE__CLUSTER is wrong.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if not url:
        return None
    from voice_agent.state.hot_client import RedisPlace, look  # see hot_tier

    try:
        await look(RedisPlace(url=url, cluster=settings.hot_cache.cluster, timeout_s=within_s))
    except RequestRefused as exc:
        if exc.code == "cluster":
            raise SettingsError(
                f"REDIS_URL: {exc.detail}: correct VOICE_HOT_CACHE__CLUSTER"
            ) from exc
        raise SettingsError("Redis refuses the password: check REDIS_URL") from exc
    except LayerUnavailable:
        return (
            "Redis does not answer: start it or correct REDIS_URL; calls go on without it and it"
            " is warmed when it is back"
        )
    except ValueError as exc:
        raise SettingsError(f"REDIS_URL is no address of a Redis: {exc}") from exc
    return None


def hot_tier(
    settings: Settings, *, clock: Clock, on_degraded: Callable[[bool], None] = lambda _: None
) -> HotTier | None:
    """Make the hot tier; None without REDIS_URL, or without a backend whose truth it is a copy of.

    Nothing is connected yet. ``on_degraded``: told when Redis fails, and when it is back.
    """
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    if not url or not settings.backend_url or not settings.backend_token:
        return None
    # 6 MB that a process without Redis does not pay
    from voice_agent.state.hot_client import HotClient, RedisPlace, connect

    chosen = settings.hot_cache
    place = RedisPlace(url=url, cluster=chosen.cluster, timeout_s=chosen.timeout_s)
    client = HotClient(
        connect(place), clock=clock, timeout_s=chosen.timeout_s, on_degraded=on_degraded
    )
    tenant = chosen.tenant or tenant_of(settings.backend_token.get_secret_value())
    keys = Keys(tenant=tenant)
    return HotTier(
        cache=HotCache(client, keys, ttl_s=chosen.ttl_s, most=chosen.events),
        leases=HotLeases(client, keys, ttl_s=chosen.ttl_s),
        handles=SharedHandles(client, keys),
    )
