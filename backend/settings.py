"""Everything an operator of the backend can set: its only reader of the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import StartRefused
from backend.rules.events import MAY_PASS

PREFIX = "VOICE_BACKEND__"


class Settings(BaseSettings):
    """Built once by ``__main__`` and passed on in pieces."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True
    )

    database_url: str = Field(
        default="sqlite:///var/backend.db",
        description="Where the log is kept: sqlite:///PATH (sqlite:////abs/path for absolute), or"
        " postgresql://USER:PASSWORD@HOST:PORT/DATABASE, which any number of backends may share.",
    )
    database_connections: PositiveInt = Field(
        default=10, description="PostgreSQL: most connections of one backend."
    )
    database_timeout_s: PositiveFloat = Field(
        default=5.0, description="PostgreSQL: longest wait of a request for the database."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: NonNegativeInt = Field(default=8480, le=65535, description="HTTP port; 0: any free.")
    metrics_port: NonNegativeInt = Field(
        default=8481, le=65535, description="Prometheus metrics; 0: none."
    )
    web_folder: Path = Field(default=Path("web/dist"), description="The built pages.")
    livekit_public_url: str = Field(
        default="", description="The LiveKit address a browser dials; empty: LIVEKIT_URL."
    )
    lease_s: PositiveFloat = Field(
        default=3.0, description="Seconds a writer owns its conversation after each heartbeat."
    )
    clear_wait_s: PositiveFloat = Field(
        default=2.0, description="Longest wait of a clear for the running agent."
    )
    livekit_timeout_s: PositiveFloat = Field(
        default=2.0, description="Longest wait for one answer of LiveKit's server API."
    )
    call_token_ttl_s: PositiveInt = Field(
        default=600, description="Life of the LiveKit token a caller gets, in seconds."
    )
    # LiveKit 1.13.5 may list a job only 5 s after a worker took it (seen in a real room; its
    # CheckEnabledTimeout): asking again sooner could bring two agents.
    dispatch_unclaimed_s: PositiveFloat = Field(
        default=5.5, description="A dispatch no worker has taken after this is made again."
    )
    dispatch_join_s: PositiveFloat = Field(
        default=15.0, description="An agent that took a call and is not there after this is lost."
    )
    agent_lost_s: PositiveFloat = Field(
        default=3.0, description="A heartbeat this late beyond its lease means a dead agent."
    )
    broadcast_only: frozenset[str] = Field(
        default=frozenset({"agent_state"}),
        description='Kinds of events that are shown live and not kept, as JSON: ["agent_state"].',
    )
    stream_ping_s: PositiveFloat = Field(
        default=15.0, description="A live stream without events sends a comment this often."
    )
    max_streams: PositiveInt = Field(
        default=5_000, description="Live streams open at once; more are answered 503."
    )
    retention_events: NonNegativeInt = Field(
        default=50_000,
        description="Events kept of a conversation; 0: all. A live session is whole.",
    )
    retention_s: NonNegativeFloat = Field(
        default=0.0, description="Older events are pruned, in seconds; 0: never."
    )
    retention_look_s: PositiveFloat = Field(
        default=300.0, description="Rest between two looks for what is to be pruned."
    )
    writer_lost_s: PositiveFloat = Field(
        default=3_600.0,
        description="A writer without a sign of life for this long is ended as agent_lost.",
    )
    drain_s: PositiveFloat = Field(
        default=5.0, description="Longest wait for requests and jobs at shutdown."
    )

    agent_name: str = Field(default="throughline", validation_alias="VOICE_AGENT_NAME")
    livekit_url: str = Field(default="", validation_alias="LIVEKIT_URL")
    livekit_api_key: str = Field(default="", validation_alias="LIVEKIT_API_KEY")
    livekit_api_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="LIVEKIT_API_SECRET"
    )

    @model_validator(mode="after")
    def _livekit_is_whole_or_absent(self) -> Self:
        given = {
            "LIVEKIT_URL": bool(self.livekit_url),
            "LIVEKIT_API_KEY": bool(self.livekit_api_key),
            "LIVEKIT_API_SECRET": bool(self.livekit_api_secret.get_secret_value()),
        }
        missing = [name for name, there in given.items() if not there]
        if 0 < len(missing) < len(given):
            raise ValueError(f"{', '.join(missing)} missing: calls need all three LIVEKIT_ names")
        return self

    @property
    def has_livekit(self) -> bool:
        """Whether calls can be made at all."""
        return bool(self.livekit_url)

    @field_validator("broadcast_only")
    @classmethod
    def _may_be_forgotten(cls, kinds: frozenset[str]) -> frozenset[str]:
        if refused := sorted(kinds - MAY_PASS):
            raise ValueError(
                f"{', '.join(refused)}: only {', '.join(sorted(MAY_PASS))} need not be kept"
            )
        return kinds

    @property
    def dialled_url(self) -> str:
        """The LiveKit address a browser dials."""
        return self.livekit_public_url or self.livekit_url


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raise StartRefused with one line that names what is wrong."""
    names = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if unknown:
        raise StartRefused(f"unknown setting {', '.join(unknown)}: misspelt, or of another version")
    try:
        return Settings()
    except ValidationError as exc:
        raise StartRefused("; ".join(_sentence(error) for error in exc.errors())) from exc


def _sentence(error: Mapping[str, object]) -> str:
    place = error.get("loc")
    name = str(place[0]) if isinstance(place, tuple) and place else ""
    shown = PREFIX + name.upper() if name in Settings.model_fields else name
    message = str(error.get("msg", "")).removeprefix("Value error, ")
    return f"{shown}: {message}" if shown else message
