"""The tools that the model may call. A tool never raises at the model: it says what is wrong."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from livekit.agents import function_tool
from livekit.agents.llm import Tool, Toolset

from voice_agent.aio.clock import Clock
from voice_agent.call.asking import Asking, Clearing
from voice_agent.domain.events import Event, Message

FOUND_MAX = 10
QUOTED_MAX = 1_000
"""Characters told of one message: ten of the longest would be more than a model takes."""
SEARCH = "Find what was said earlier in this conversation, before what you can see."
LONG = "This conversation is long: you see its newest part alone, so look here before you guess. "
AWAY = "I cannot look that up now: my memory does not answer."
CLEARED = {
    Clearing.DONE: "Everything that was said before is forgotten.",
    Clearing.AWAY: "I cannot forget now: my memory does not answer. Please ask again later.",
    Clearing.UNKNOWN: "I have asked for it, but my memory does not answer yet. Ask me again.",
}


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


def told(found: Sequence[Event] | None, words: str) -> str:
    """Say what a search found, one line each."""
    if found is None:
        return AWAY
    lines = [
        f"On {event.at:%-d %B %Y} the {'caller' if body.role == 'user' else 'agent'} said:"
        f' "{_quoted(body.text)}"'
        for event in found
        if isinstance(body := event.body, Message)
    ]
    return "\n".join(lines) or f"I found nothing about {words}."


def _quoted(text: str) -> str:
    """Write a text as one line between quotes, which nothing in it can end: it is only data."""
    return _cut(" ".join(text.replace('"', "'").split()))


def _cut(line: str) -> str:
    return line if len(line) <= QUOTED_MAX else f"{line[:QUOTED_MAX]} ..."


def tools_of(
    clock: Clock, asking: Asking | None = None, *, can_clear: bool = False
) -> list[Tool | Toolset]:
    """Make the tools of one call. ``asking``: what the conversation may be asked.

    ``can_clear``: the model's context can be emptied while it waits for a tool of its own.
    """

    @function_tool
    async def current_time(city: str | None = None) -> str:
        """Tell the time of day.

        Args:
            city: where, e.g. "Tokyo"; omit it for here.
        """
        return spoken_time(clock.now(), city)

    return [current_time, *(_memory_tools(asking, can_clear=can_clear) if asking else ())]


def _memory_tools(asking: Asking, *, can_clear: bool) -> list[Tool | Toolset]:
    @function_tool(description=LONG + SEARCH if asking.is_long else SEARCH)
    async def search_conversation(words: str, limit: int = FOUND_MAX) -> str:
        """Find what was said.

        Args:
            words: one to three words that were said; all of them must occur.
            limit: how many messages at most.
        """
        if not words.strip():
            return "Say which words to look for."
        found = await asking.search(words.strip(), max(1, min(limit, FOUND_MAX)))
        return told(found, words.strip())

    @function_tool
    async def clear_conversation() -> str:
        """Forget everything that was said so far. Only if the caller clearly asks for that."""
        return CLEARED[await asking.clear()]

    tools: list[Tool | Toolset] = []
    if asking.may_search:
        tools.append(search_conversation)
    if can_clear:
        tools.append(clear_conversation)
    return tools
