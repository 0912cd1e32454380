"""What a call with Gemini Live is made of: model, store of handles, and who goes on after it."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from google.genai import types
from livekit.agents import NOT_GIVEN, AgentSession

from config.settings import Settings, SettingsError
from voice_agent.call.call import Call
from voice_agent.domain.events import Reconnect
from voice_agent.providers.gemini import Limits, Options, Outcome, RealtimeModel, prepare
from voice_agent.room.agent import Models, VoiceAgent
from voice_agent.state.handles import ProviderHandles

PROVIDER = "gemini"
SUMMARY_LINES = 40


class Observe(Protocol):
    """Feeds a metric."""

    def __call__(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Send one figure."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the sessions of this process share."""

    handles: ProviderHandles
    observe: Observe
    models: Callable[[], Models | None]
    """Who goes on when Gemini has failed for good; None = nobody."""


class CallHandles:
    """The handles of one call's conversation."""

    def __init__(self, call: Call, handles: ProviderHandles) -> None:
        self._call = call
        self._handles = handles

    async def save(self, payload: bytes, ttl_s: float) -> None:
        """Keep it, unless another writer with a higher fence has."""
        writer = self._call.writer
        if writer.conversation_id is not None:
            await self._handles.save(writer.conversation_id, writer.fence, payload, ttl_s)

    async def take(self) -> bytes | None:
        """Take what the last process left."""
        conversation_id = self._call.writer.conversation_id
        return await self._handles.take(conversation_id) if conversation_id else None


def check_gemini(settings: Settings) -> None:
    """Refuse to start with a certificate that is not there. Raises ``SettingsError``."""
    ca_file = settings.gemini.ca_file
    if ca_file is not None and not ca_file.is_file():
        raise SettingsError(f"VOICE_GEMINI__CA_FILE: there is no file {ca_file}")


def make_gemini_session(
    settings: Settings, surroundings: Surroundings, call: Call
) -> AgentSession[Any]:
    """Make the AgentSession of one call with Gemini Live.

    The embedded voice, where it is installed, says what the agent must say by itself (farewell,
    trouble) and goes on with the call when Gemini has failed for good.
    """
    assert settings.google_api_key is not None
    local = surroundings.models()
    session: AgentSession[Any]

    def take_over(_: Exception) -> bool:
        agent = session.current_agent
        if local is None or not isinstance(agent, VoiceAgent):
            return False
        session.update_agent(agent.moved_to(local))
        return True

    chosen = settings.gemini
    model = RealtimeModel(
        model=chosen.model,
        voice=chosen.voice,
        api_key=settings.google_api_key.get_secret_value(),
        http_options=_http_options(settings),
        options=Options(
            limits=Limits(give_up_s=chosen.give_up_s),
            handles=CallHandles(call, surroundings.handles),
            summarise=_first_and_last,
            on_outcome=lambda outcome: _tell(outcome, call, surroundings.observe),
            on_failed=take_over,
        ),
    )
    session = AgentSession(llm=model, tts=local.tts if local is not None else NOT_GIVEN)
    return session


def _tell(outcome: Outcome, call: Call, observe: Observe) -> None:
    observe("voice_reconnects", PROVIDER, outcome.kind)
    observe("voice_reconnect_seconds", PROVIDER, value=outcome.took_s)
    observe("voice_reconnect_tokens_spared", PROVIDER, value=float(outcome.tokens_spared))
    call.recorder.record(
        Reconnect(
            provider=PROVIDER,
            outcome=outcome.kind,
            detail={
                "cause": outcome.cause,
                "sent_count": outcome.sent_count,
                "tokens_spared": outcome.tokens_spared,
                "took_ms": round(1000 * outcome.took_s),
                "summarised": outcome.summarised,
            },
        )
    )


async def _first_and_last(lines: Sequence[str]) -> str:
    """What a conversation began with, and what was said last of what is cut."""
    kept = [*lines[: SUMMARY_LINES // 2], *lines[-SUMMARY_LINES // 2 :]]
    return "\n".join(dict.fromkeys(kept))


def _http_options(settings: Settings) -> types.HttpOptions | None:
    chosen = settings.gemini
    if chosen.base_url is None:
        return None
    context = _tls(str(chosen.ca_file) if chosen.ca_file else None)
    return types.HttpOptions(base_url=chosen.base_url, async_client_args={"ssl": context})


@cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def prepare_gemini(settings: Settings) -> None:
    """Do in a job process, before its call, what would hold its loop up."""
    _http_options(settings)
    prepare()
