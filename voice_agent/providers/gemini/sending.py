"""What goes out next on a connection: the difference first, then a request, then sound."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from google.genai import types
from livekit.agents.llm import ChatContext, ChatItem, FunctionCallOutput
from livekit.agents.types import NotGivenOr
from livekit.plugins.google.utils import get_tool_results_for_realtime

from voice_agent.providers.gemini.items import FRAMED, Wanted, content, in_words, line, user_turn
from voice_agent.providers.gemini.ladder import Rung
from voice_agent.providers.gemini.link import Link
from voice_agent.providers.gemini.memory import Difference, Memory
from voice_agent.providers.gemini.models import Accepts
from voice_agent.providers.gemini.options import Limits, Options
from voice_agent.providers.gemini.outgoing import Outgoing
from voice_agent.providers.gemini.replies import Replies


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolManner:
    """How tool responses are phrased for an API and a model."""

    vertexai: bool
    scheduling: NotGivenOr[types.FunctionResponseScheduling]
    silent_ok: bool
    synthetic: frozenset[str]


class Sender:
    """Sends for one session; the same for each of its connections."""

    def __init__(
        self, *, memory: Memory, outgoing: Outgoing, replies: Replies, accepts: Accepts,
        options: Options, model: str,
    ) -> None:  # fmt: skip
        self._memory = memory
        self._outgoing = outgoing
        self._replies = replies
        self._accepts = accepts
        self._options = options
        self._limits: Limits = options.limits
        self._model = model
        self._compared = -1
        self._difference = Difference()
        self.refused: list[types.LiveClientToolResponse] = []
        self.instructions: str | None = None
        """New ones, for a model that takes them in a live session."""
        self.sent_count = 0

    def begin(self) -> None:
        """A new connection: whatever waited for the old one is void."""
        self.refused.clear()
        self.instructions = None
        self.sent_count = 0

    def difference(self) -> Difference:
        """Compare again, where something changed."""
        if self._compared != self._memory.revision:
            self._compared = self._memory.revision
            self._difference = self._memory.difference()
        return self._difference

    async def seed(self, link: Link, rung: Rung) -> bool:
        """Tell a fresh session the conversation, as much of it as it may be told.

        Returns whether the oldest part is only there as a summary.
        """
        items = list(self.difference().items)
        most = self._limits.short_seed_most_chars if rung is Rung.SHORT else None
        kept = _newest(items, most or self._limits.seed_most_chars)
        cut = items[: len(items) - len(kept)]
        turns: list[types.Content] = []
        if cut:
            summary = await self._summary_of(cut)
            self._memory.leave_out(cut)
            if summary:
                turns.append(user_turn(FRAMED.format(f"What was said before: {summary}")))
        turns.extend(self._contents(kept))
        asks = self._accepts.initial_history or self._wants_answer(kept)
        if turns:
            await link.send_turns(turns, asks=asks)
            self._memory.sent(kept)
            self._told(kept, asks=asks and not self._accepts.initial_history)
        return bool(cut)

    async def _summary_of(self, items: Sequence[Wanted]) -> str:
        lines = [line(one.item, self._memory.calls) for one in items]
        try:
            async with asyncio.timeout(self._limits.summarise_s):
                return await self._options.summarise(lines)
        except TimeoutError:
            return ""

    async def send_next(self, link: Link, tools: ToolManner) -> bool:
        """Send one message; False when there is nothing that may be sent now."""
        if self.refused:
            await link.send_tool_responses(self.refused.pop(0).function_responses or [])
            return True
        if self.instructions is not None:
            text, self.instructions = self.instructions, None
            await self._instruct(link, text)
            return True
        difference = self.difference()
        if difference.items and self._may_tell(difference.items):
            await self._tell(link, difference.items, tools)
            return True
        may_ask = not difference.items and difference.rebuild is None
        if may_ask and not self._outgoing.ends_activity and await self._ask(link):
            return True
        event = self._outgoing.pop(time.monotonic())
        if event is None:
            return False
        await link.send_input(event)
        return True

    def _may_tell(self, items: Sequence[Wanted]) -> bool:
        """Content interrupts whoever speaks: it waits for a pause, unless somebody waits for it."""
        return (
            not (self._memory.is_generating or self._replies.is_expected)
            or self._replies.unsent is not None
            or any(self._is_open(one.item) for one in items)
        )

    def _is_open(self, item: ChatItem) -> bool:
        return isinstance(item, FunctionCallOutput) and item.call_id in self._memory.open_calls

    async def _tell(self, link: Link, items: Sequence[Wanted], tools: ToolManner) -> None:
        expecting = self._replies.is_expected
        for is_open, run in groupby(items, key=lambda one: self._is_open(one.item)):
            group = list(run)
            if is_open:
                await self._answer_calls(link, group, tools)
                continue
            asks = self._wants_answer(group) and group[-1] is items[-1]
            if self._takes_content:
                await link.send_turns(self._contents(group), asks=asks)
            else:
                await link.send_text(in_words([one.item for one in group], self._memory.calls))
                self._replies.sent_by_itself()
            self._memory.sent(group, expecting=expecting)
            self._told(group, asks=asks)

    @property
    def _takes_content(self) -> bool:
        return self._accepts.late_content or not self._memory.has_generated

    async def _answer_calls(self, link: Link, group: Sequence[Wanted], tools: ToolManner) -> None:
        results = get_tool_results_for_realtime(
            ChatContext([one.item for one in group]),
            vertexai=tools.vertexai,
            tool_response_scheduling=tools.scheduling,
            supports_silent_scheduling=tools.silent_ok,
            synthetic_call_ids=tools.synthetic,
        )
        assert results is not None
        await link.send_tool_responses(results.function_responses or [])
        self._memory.sent(group)
        self._told(group, asks=_reply_required(group))

    def _told(self, group: Sequence[Wanted], *, asks: bool) -> None:
        self.sent_count += len(group)
        if asks:
            self._replies.expect()

    def _wants_answer(self, group: Sequence[Wanted]) -> bool:
        """A tool's outcome in words asks for the reply that its response would have brought."""
        last = group[-1].item if group else None
        return (
            isinstance(last, FunctionCallOutput)
            and last.reply_required
            and self._replies.unsent is None
            and last.call_id in self._memory.unanswered
        )

    async def _ask(self, link: Link) -> bool:
        turns = self._replies.unsent
        if turns is not None:
            self._replies.sent()
        elif self._replies.owed != "none":
            turns = self._replies.owed_turns(self._model)
            self._replies.expect()
            self._replies.goes_on = True
        else:
            return False
        if self._takes_content:
            await link.send_turns(turns, asks=True)
        else:
            texts = [part.text or "" for turn in turns for part in turn.parts or []]
            await link.send_text("\n".join(texts) or ".")
        return True

    async def _instruct(self, link: Link, text: str) -> None:
        if self._accepts.instructions_by == "update":
            await link.send_instructions(text)
        else:
            turn = types.Content(role="system", parts=[types.Part(text=text)])
            await link.send_turns([turn], asks=False)

    def _contents(self, items: Sequence[Wanted]) -> list[types.Content]:
        made = (content(one.item, self._memory.calls) for one in items)
        return [one for one in made if one is not None]


def _newest(items: Sequence[Wanted], most_chars: int) -> list[Wanted]:
    """As many of the newest as fit, at least one."""
    size = 0
    for n, one in enumerate(reversed(items)):
        size += one.size
        if size > most_chars and n:
            return list(items[len(items) - n :])
    return list(items)


def _reply_required(group: Sequence[Wanted]) -> bool:
    return any(isinstance(one.item, FunctionCallOutput) and one.item.reply_required
               for one in group)  # fmt: skip
