"""What a call is made of beneath LiveKit, so that it can also run where there is no LiveKit.

A job process uses it, and so does ``simulators/script_job.py``, which is a job without a room.
"""

from backend_client import BackendClient, backend_http
from config.settings import Settings
from voice_agent.aio.clock import SystemClock, new_id
from voice_agent.bootstrap.hot import hot_tier
from voice_agent.call.call import Call, CallLayers, CallSettings
from voice_agent.call.enrolment import Place, Pointer
from voice_agent.call.person import KeptProfiles, NoProfiles
from voice_agent.call.ports import CallObserver
from voice_agent.call.summaries import Summariser
from voice_agent.domain.conversation import WindowLimits
from voice_agent.state.handles import OwnHandles
from voice_agent.state.outbox import Durability, Placement


def call_layers(
    settings: Settings, *, observer: CallObserver, summariser: Summariser
) -> CallLayers:
    """Name the layers of every call of this process. Without BACKEND_URL: memory-only."""
    backend = None
    placement = None
    if settings.backend_url and settings.backend_token:
        http = backend_http(
            url=settings.backend_url,
            token=settings.backend_token.get_secret_value(),
            timeout_s=settings.client.timeout_s,
        )
        backend = BackendClient(http, timeout_s=settings.client.timeout_s)
        placement = Placement(
            folder=settings.outbox.folder, durability=Durability(settings.outbox.durability)
        )
    clock = SystemClock()
    hot = hot_tier(settings, clock=clock, on_degraded=lambda on: observer.degraded("redis", on=on))
    return CallLayers(
        backend=backend,
        profiles=KeptProfiles(backend) if backend is not None else NoProfiles(),
        placement=placement,
        handles=hot.handles if hot is not None else OwnHandles(clock),
        hot=hot,
        clock=clock,
        new_id=new_id,
        observer=observer,
        summariser=summariser,
    )


def make_call(settings: Settings, layers: CallLayers, pointer: Pointer, place: Place) -> Call:
    """Make one call with the operator's numbers."""
    numbers = CallSettings(
        load_s=settings.call.load_s,
        limits=WindowLimits(keep=settings.call.window_keep, most=settings.call.window_most),
        key=settings.call.key,
        pattern=settings.call.pattern,
        retrieval_above=settings.call.retrieval_above,
        max_gap_s=settings.call.max_gap_s,
    )
    return Call(settings=numbers, layers=layers, pointer=pointer, place=place)
