"""What a job process is made of. Preloaded in the forkserver, so that a job starts in milliseconds.

Nothing here opens a connection or starts a thread at import.
"""

import functools
import importlib.util
import os
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit.agents import AgentSession, APIConnectOptions, JobContext, JobProcess, inference
from livekit.agents.llm import LLM, Tool, Toolset
from livekit.agents.voice.agent_session import SessionConnectOptions

from config.settings import Settings, load
from voice_agent.aio.clock import Clock, new_id
from voice_agent.bootstrap.calls import call_layers, make_call
from voice_agent.bootstrap.runtime import Runtime
from voice_agent.call.asking import Asking
from voice_agent.call.call import Call, CallLayers
from voice_agent.providers.local import LocalSTT, LocalTTS, RuleLLM
from voice_agent.providers.summaries import ModelSummariser, RuleSummariser
from voice_agent.room.agent import Models
from voice_agent.room.job import CallJob, JobParts
from voice_agent.room.persona import Persona
from voice_agent.room.tools import tools_of
from voice_agent.telemetry.metrics import JobMetrics
from voice_agent.telemetry.observer import MetricsObserver

CALL = "call"
LLM_RETRY_S = 0.5
PRIVATE = 0o077
"""What callers said is for the owner of the files alone."""


def prepare_process(runtime: Runtime, process: JobProcess) -> None:
    """Make a job process ready for its call.

    Signals that reach the whole process group are the worker's to answer: a job that died of
    SIGTERM could not say goodbye (livekit-agents 1.8.9 forgets this under a forkserver, facts
    §1.3).
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(PRIVATE)
    process.userdata["runtime"] = runtime
    settings = process.userdata["settings"] = load()
    if settings.provider == "gemini":
        from voice_agent.bootstrap.gemini import prepare_gemini  # see _session_maker

        prepare_gemini(settings)


async def run_job(ctx: JobContext) -> None:
    """The entrypoint of every job."""
    settings: Settings = ctx.proc.userdata["settings"]
    runtime: Runtime = ctx.proc.userdata["runtime"]
    job = CallJob(ctx, _parts(settings, runtime))
    ctx.proc.userdata[CALL] = job
    await job.run()


async def end_job(ctx: JobContext) -> None:
    """What livekit-agents calls when the session is over, also after an exception."""
    job: CallJob | None = ctx.proc.userdata.get(CALL)
    if job is not None:
        await job.finish()


def _parts(settings: Settings, runtime: Runtime) -> JobParts:
    metrics = JobMetrics(runtime.metrics)
    layers = call_layers(
        settings,
        observer=MetricsObserver(metrics),
        summariser=ModelSummariser(_llm(settings)) if settings.llm_base_url else RuleSummariser(),
    )
    return JobParts(
        make_call=functools.partial(make_call, settings, layers),
        make_session=_session_maker(settings, runtime, layers, metrics),
        read_persona=functools.partial(read_persona, settings.call.agent_file),
        profiles=layers.profiles,
        make_tools=functools.partial(_make_tools, settings, layers.clock),
        clock=layers.clock,
        new_id=new_id,
        connect_s=settings.call.connect_s,
        brief_after_s=settings.call.brief_after_s,
        observe=metrics.observe,
    )


def _make_tools(settings: Settings, clock: Clock, asking: Asking) -> list[Tool | Toolset]:
    """Give the model its tools; a service that remembers by itself cannot forget in mid-reply."""
    if not settings.call.tools:
        return []
    return tools_of(clock, asking, can_clear=settings.provider == "local")


def _session_maker(
    settings: Settings, runtime: Runtime, layers: CallLayers, metrics: JobMetrics
) -> Callable[[Call], AgentSession[Any]]:
    if settings.provider == "local":
        return lambda _: make_session(settings, runtime)
    # the plugin and google-genai are 60 MiB that other jobs do not pay
    from voice_agent.bootstrap.gemini import Surroundings, make_gemini_session

    surroundings = Surroundings(
        handles=layers.handles,
        observe=metrics.observe,
        models=lambda: _local_models(settings, runtime) if has_voices() else None,
    )
    return functools.partial(make_gemini_session, settings, surroundings)


def _local_models(settings: Settings, runtime: Runtime) -> Models:
    socket = settings.local.socket or runtime.speech
    return Models(
        vad=inference.VAD(),
        stt=LocalSTT(socket_path=socket),
        llm=_llm(settings),
        tts=LocalTTS(socket_path=socket),
    )


def has_voices() -> bool:
    """Whether the embedded voices are installed."""
    return all(importlib.util.find_spec(name) for name in ("moonshine_voice", "piper"))


def make_session(settings: Settings, runtime: Runtime) -> AgentSession[Any]:
    """Make the AgentSession of one call: embedded voices, and whose turn it is."""
    socket = settings.local.socket or runtime.speech
    turn = settings.turn
    return AgentSession(
        vad=inference.VAD(),
        stt=LocalSTT(socket_path=socket),
        llm=_llm(settings),
        tts=LocalTTS(socket_path=socket),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {
                "mode": "fixed",
                "min_delay": turn.min_delay_s,
                "max_delay": turn.max_delay_s,
            },
            "interruption": {"mode": "vad", "min_duration": turn.interrupt_after_s},
            "preemptive_generation": {
                "enabled": turn.preemptive,
                # speech made before the message is recorded could not wait for it
                "preemptive_tts": turn.preemptive and settings.outbox.durability == "process",
            },
        },
        conn_options=SessionConnectOptions(
            llm_conn_options=APIConnectOptions(
                max_retry=settings.llm_retries,
                retry_interval=LLM_RETRY_S,
                timeout=settings.llm_timeout_s,
            )
        ),
    )


def _llm(settings: Settings) -> LLM[Any]:
    if settings.llm_base_url is None:
        return RuleLLM()
    # 19 MiB and 0.3 s that a job without it does not pay
    from livekit.plugins import openai

    return openai.LLM(
        model=settings.llm_model,
        base_url=settings.llm_base_url,
        api_key=settings.llm_api_key.get_secret_value(),
    )


def read_persona(path: Path) -> Persona:
    """Read config/agent.toml. An unknown or missing field is a TypeError that names it."""
    return Persona(**tomllib.loads(path.read_text(encoding="utf-8")))
