"""Everything an operator can set: the only module of the agent that reads the environment.

env.example and docs/configuration.md are made from it (``python -m config``). A wrong value, an
unknown ``VOICE_`` name or a combination that cannot work stops the start with one line.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "VOICE_"
NOT_OURS = "VOICE_BACKEND__"
"""The backend program's own settings (backend/settings.py): the agent leaves them alone."""

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(Exception):
    """The settings cannot work; the text says which and why, one line each."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerSettings(_Group):
    """The worker's main process."""

    host: str = Field(default="127.0.0.1", description="Address of its two ports.")
    health_port: Port = Field(default=8081, description="GET / and /worker; 0 = any free port.")
    metrics_port: Port = Field(default=8082, description="GET /metrics; 0 = none.")
    rooms: PositiveInt = Field(
        default=10, le=90, description="Calls at once; at this number it reports itself full."
    )
    cpu_limit: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of all cores that our own processes may use before it is full.",
    )
    idle_processes: int = Field(
        default=2, ge=0, le=32, description="Job processes kept ready for the next calls."
    )
    drain_s: PositiveInt = Field(
        default=3600, description="Longest wait for calls to end at SIGTERM (s)."
    )
    session_end_s: PositiveFloat = Field(
        default=10.0, description="Longest time for recording the end of a call (s)."
    )


class CallSettings(_Group):
    """One call."""

    agent_file: Path = Field(
        default=Path(__file__).parent / "agent.toml",
        description="Persona: instructions, greeting and the like.",
    )
    key: Literal["room", "caller"] = Field(
        default="room",
        description="What a conversation is resolved by where the metadata names none.",
    )
    max_gap_s: PositiveFloat | None = Field(
        default=None, description="A longer silence begins a new conversation (s); none = never."
    )
    load_s: PositiveFloat = Field(
        default=1.0, description="Longest wait for the conversation and its history at start (s)."
    )
    connect_s: PositiveFloat = Field(
        default=10.0, description="Longest wait for the LiveKit room (s)."
    )
    window_keep: PositiveInt = Field(
        default=20, description="Messages loaded at start and kept by a trim."
    )
    window_most: PositiveInt = Field(default=50, description="More messages than this are trimmed.")
    pattern: Literal["auto", "hybrid", "retrieval"] = Field(
        default="auto",
        description="Window and summary (hybrid), beside it a search that the model is told to use"
        " (retrieval), or that it may use, and by length should (auto).",
    )
    retrieval_above: PositiveInt = Field(
        default=500, description="With auto: for a conversation of more turns than this it should."
    )
    tools: bool = Field(
        default=True,
        description="Let the model tell the time, search the conversation and clear it; false for"
        " a model that takes no tools.",
    )
    brief_after_s: NonNegativeFloat = Field(
        default=120.0, description="A caller who is back after a longer gap gets a brief (s)."
    )


class TurnSettings(_Group):
    """Whose turn it is. docs/adr/0006 has the measurements behind the defaults."""

    min_delay_s: NonNegativeFloat = Field(
        default=0.4, description="Shortest silence after speech before the reply (s)."
    )
    max_delay_s: NonNegativeFloat = Field(
        default=1.5, description="Longest such silence, if a turn detector is unsure (s)."
    )
    preemptive: bool = Field(
        default=True, description="Prepare the reply, speech included, before the turn is over."
    )
    interrupt_after_s: NonNegativeFloat = Field(
        default=0.5, description="Speech this long interrupts the agent (s)."
    )


class LocalSettings(_Group):
    """The embedded voice (no keys): Moonshine, Piper and rules."""

    socket: Path | None = Field(
        default=None,
        description="Socket of the speech process; none = in a temporary folder.",
    )


class OutboxSettings(_Group):
    """The write-ahead log on this pod's disk."""

    folder: Path = Field(
        default=Path("var/outbox"),
        description="On a disk that survives the process; one file per job.",
    )
    durability: Literal["process", "power", "acknowledged"] = Field(
        default="process",
        description="What a reply waits for, up to 1 s: nothing more than a write that survives"
        " kill -9 (process), the disk itself (power), or the backend (acknowledged; for audits).",
    )


class GeminiSettings(_Group):
    """Gemini Live, with VOICE_PROVIDER=gemini (docs/gemini.md)."""

    model: str = Field(
        default="gemini-2.5-flash-native-audio-preview-12-2025", description="Its model."
    )
    voice: str = Field(default="Puck", description="The voice it speaks with.")
    base_url: str | None = Field(
        default=None,
        pattern=r"^https://",
        description="Another server than Google's; TLS only. none = Google's.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificate that such a server is trusted by."
    )
    give_up_s: PositiveFloat = Field(
        default=30.0,
        le=300,
        description="A lost connection is renewed for this long; then the local voice goes on (s).",
    )


class HotCacheSettings(_Group):
    """What pods share in Redis while a conversation lives. Without REDIS_URL none of it is used."""

    tenant: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name in every key: the same for all agents of a tenant, another for each"
        " tenant; none = made from BACKEND_TOKEN.",
    )
    cluster: bool = Field(
        default=False, description="Whether REDIS_URL is a node of a Redis Cluster."
    )
    timeout_s: PositiveFloat = Field(
        default=0.5, description="Longest wait for one answer of Redis (s); never the caller's."
    )
    ttl_s: PositiveInt = Field(
        default=3600, description="A conversation that rests this long leaves Redis (s)."
    )
    events: PositiveInt = Field(
        default=2_000, le=100_000, description="Newest events kept of each conversation."
    )


class RelaySettings(_Group):
    """The process that brings the outbox to the backend."""

    spawn: bool = Field(
        default=True, description="The worker starts it; false where it is a sidecar."
    )
    host: str = Field(default="127.0.0.1", description="Address of its metrics.")
    metrics_port: Port = Field(default=8083, description="GET /metrics; 0 = none.")
    drain_s: PositiveFloat = Field(
        default=10.0, description="Longest wait for the outbox to empty when it stops (s)."
    )


class ClientSettings(_Group):
    """The backend as the agent calls it."""

    timeout_s: PositiveFloat = Field(
        default=3.0, description="Longest wait for one backend call (s)."
    )


class LogSettings(_Group):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["json", "text"] = Field(default="json", description="One line per record.")
    personal: bool = Field(
        default=False, description="Whether personal content (pii.* fields) is written."
    )


class Settings(BaseSettings):
    """Built once, in ``bootstrap``, and passed on in pieces; nothing else imports it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    agent_name: str = Field(
        default="throughline",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The name that calls are dispatched to.",
    )
    provider: Literal["local", "gemini"] = Field(
        default="local",
        description="Who hears, thinks and speaks: the embedded voice and an LLM, or Gemini Live.",
    )
    llm_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Any OpenAI-compatible server in the place of the rules (Ollama, vLLM ...).",
    )
    llm_model: str = Field(default="default", description="Its model.")
    llm_api_key: SecretStr = Field(default=SecretStr("none"), description="Its key, if it has one.")
    llm_timeout_s: PositiveFloat = Field(
        default=5.0, description="Longest wait for its next words (s), in each attempt."
    )
    llm_retries: int = Field(
        default=1, ge=0, le=10, description="Further attempts, where one can help."
    )
    worker: WorkerSettings = WorkerSettings()
    call: CallSettings = CallSettings()
    turn: TurnSettings = TurnSettings()
    local: LocalSettings = LocalSettings()
    gemini: GeminiSettings = GeminiSettings()
    outbox: OutboxSettings = OutboxSettings()
    hot_cache: HotCacheSettings = HotCacheSettings()
    relay: RelaySettings = RelaySettings()
    client: ClientSettings = ClientSettings()
    log: LogSettings = LogSettings()

    livekit_url: str = Field(
        default="", validation_alias="LIVEKIT_URL", description="ws:// or wss:// of LiveKit."
    )
    livekit_api_key: str = Field(
        default="", validation_alias="LIVEKIT_API_KEY", description="LiveKit's key."
    )
    livekit_api_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="LIVEKIT_API_SECRET", description="Its secret."
    )
    backend_url: str | None = Field(
        default=None,
        validation_alias="BACKEND_URL",
        description="The backend, without /v1; none = memory-only: nothing is kept.",
    )
    backend_token: SecretStr | None = Field(
        default=None, validation_alias="BACKEND_TOKEN", description="Token of scope agent."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Shared hot tier, redis:// or rediss://; none = everything works on one pod.",
    )
    google_api_key: SecretStr | None = Field(
        default=None, validation_alias="GOOGLE_API_KEY", description="For Google's models."
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="For OpenAI's models."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.call.window_keep > self.call.window_most:
            raise ValueError(
                f"VOICE_CALL__WINDOW_KEEP ({self.call.window_keep}) must not be above"
                f" VOICE_CALL__WINDOW_MOST ({self.call.window_most})"
            )
        if self.turn.min_delay_s > self.turn.max_delay_s:
            raise ValueError(
                f"VOICE_TURN__MIN_DELAY_S ({self.turn.min_delay_s}) must not be above"
                f" VOICE_TURN__MAX_DELAY_S ({self.turn.max_delay_s})"
            )
        if self.backend_url and not self.backend_token:
            raise ValueError("BACKEND_URL is set but BACKEND_TOKEN is not")
        if self.provider == "gemini" and not self.google_api_key:
            raise ValueError("VOICE_PROVIDER is gemini but GOOGLE_API_KEY is not set")
        redis = self.redis_url.get_secret_value() if self.redis_url else ""
        if redis and not redis.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("REDIS_URL must begin with redis://, rediss:// or unix://")
        return self


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a name is unknown or a value does not fit; the text has a line for each.
    """
    names = os.environ if environ is None else environ
    unknown = sorted(n for n in names if _is_unknown(n))
    if unknown:
        raise SettingsError("\n".join(f"{n}: there is no such setting" for n in unknown))
    try:
        return Settings()
    except ValidationError as exc:
        raise SettingsError("\n".join(_line(error) for error in exc.errors())) from exc


def _is_unknown(name: str) -> bool:
    if not name.startswith(PREFIX) or name.startswith(NOT_OURS):
        return False
    return name not in known_names()


def known_names() -> set[str]:
    """Every ``VOICE_`` name that is read."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        if field.validation_alias is not None:
            continue
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, _Group):
            names |= {f"{PREFIX}{name}__{inner}".upper() for inner in kind.model_fields}
        else:
            names.add(f"{PREFIX}{name}".upper())
    return names


def _line(error: Mapping[str, object]) -> str:
    loc = error.get("loc")
    parts = [str(part) for part in loc] if isinstance(loc, tuple) else []
    name = "__".join(parts).upper()
    if parts and not name.startswith(("LIVEKIT", "BACKEND_", "REDIS", "GOOGLE", "OPENAI")):
        name = PREFIX + name
    message = str(error.get("msg", "")).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
