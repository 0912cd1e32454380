"""The tools that the model may call. A tool never raises at the model: it says what is wrong."""

from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from livekit.agents import function_tool
from livekit.agents.llm import Tool, Toolset

from voice_agent.aio.clock import Clock


def time_zone_of(city: str) -> str | None:
    """The IANA zone of a city, by its last part: ``Tokyo`` is ``Asia/Tokyo``."""
    wanted = city.strip().lower().replace(" ", "_")
    zones = (zone for zone in sorted(available_timezones()) if "/" in zone)
    return next((zone for zone in zones if zone.rsplit("/", 1)[1].lower() == wanted), None)


def spoken_time(instant: datetime, city: str | None) -> str:
    """Say the time of an instant, there where ``city`` is."""
    if not city:
        return f"It is {instant.astimezone():%H:%M}."
    zone = time_zone_of(city)
    if zone is None:
        return f"I do not know the time zone of {city}."
    return f"It is {instant.astimezone(ZoneInfo(zone)):%H:%M} in {city}."


def tools_of(clock: Clock) -> list[Tool | Toolset]:
    """Make the tools of one call."""

    @function_tool
    async def current_time(city: str | None = None) -> str:
        """Tell the time of day.

        Args:
            city: where, e.g. "Tokyo"; omit it for here.
        """
        return spoken_time(clock.now(), city)

    return [current_time]
