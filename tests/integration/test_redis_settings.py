"""What the doctor and the start say of a Redis that cannot be used."""

from collections.abc import Callable

import pytest

from config.settings import Settings, SettingsError
from devtools.servers.valkey import ValkeyServer
from tests.support.cluster import ValkeyCluster
from voice_agent.aio.clock import SystemClock
from voice_agent.bootstrap.hot import hot_tier, look_at_redis

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    def make(**environ: str) -> Settings:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return Settings()

    return make


async def test_a_redis_that_answers_is_no_matter_and_neither_is_none(
    settings: MakeSettings, valkey: ValkeyServer
) -> None:
    assert await look_at_redis(settings(), within_s=2.0) is None
    assert await look_at_redis(settings(**valkey.env), within_s=2.0) is None


async def test_a_redis_that_is_away_is_said_and_does_not_end_the_start(
    settings: MakeSettings,
) -> None:
    away = await look_at_redis(settings(REDIS_URL="redis://127.0.0.1:9/0"), within_s=2.0)
    assert away is not None
    assert "calls go on without it" in away


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"REDIS_URL": "redis://:wrong@127.0.0.1:{port}/0"}, "refuses the password"),
        ({"REDIS_URL": "redis://127.0.0.1:{port}/0"}, "refuses the password"),
        ({"VOICE_HOT_CACHE__CLUSTER": "true"}, "VOICE_HOT_CACHE__CLUSTER"),
        ({"REDIS_URL": "redis://127.0.0.1:port/0"}, "no address"),
    ],
)
async def test_a_redis_that_will_never_do_is_refused_in_a_line(
    settings: MakeSettings, valkey: ValkeyServer, environ: dict[str, str], words: str
) -> None:
    told = {name: value.replace("{port}", str(valkey.port)) for name, value in environ.items()}
    with pytest.raises(SettingsError, match=words):
        await look_at_redis(settings(**{**valkey.env, **told}), within_s=2.0)


async def test_a_cluster_that_the_settings_do_not_name_one_is_refused(
    settings: MakeSettings, valkey_cluster: ValkeyCluster
) -> None:
    with pytest.raises(SettingsError, match="VOICE_HOT_CACHE__CLUSTER"):
        await look_at_redis(settings(REDIS_URL=valkey_cluster.url), within_s=2.0)
    assert await look_at_redis(settings(**valkey_cluster.env), within_s=2.0) is None


def test_what_is_no_redis_url_is_named(settings: MakeSettings) -> None:
    with pytest.raises(ValueError, match="redis://, rediss:// or unix://"):
        settings(REDIS_URL="http://127.0.0.1:6379")


def test_without_redis_or_without_a_backend_there_is_no_hot_tier(settings: MakeSettings) -> None:
    backend = {"BACKEND_URL": "http://127.0.0.1:9", "BACKEND_TOKEN": "t"}
    assert hot_tier(settings(REDIS_URL=""), clock=SystemClock()) is None
    assert hot_tier(settings(REDIS_URL="redis://127.0.0.1:9"), clock=SystemClock()) is None
    assert hot_tier(settings(**backend), clock=SystemClock()) is not None
