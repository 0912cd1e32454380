"""What pods share of a conversation while it is live. None of it is the truth."""

from dataclasses import dataclass

from voice_agent.state.handles import ProviderHandles
from voice_agent.state.hot_cache import HotCache
from voice_agent.state.hot_lease import HotLeases


@dataclass(frozen=True, slots=True, kw_only=True)
class HotTier:
    """The parts of the hot tier, made by ``bootstrap``."""

    cache: HotCache
    leases: HotLeases
    handles: ProviderHandles
