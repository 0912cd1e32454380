"""Tool calls as the session announces them: twice, and neither announcement has it all.

``tool_execution_updated`` comes when a tool starts and when it ends, so that a crash in between
leaves the call in the log; ``function_tools_executed`` comes after the reply was spoken, also for
calls that never started, and alone has what the model is told of a failure. What a failed tool
said is lost if the process dies between the two.
"""

from dataclasses import dataclass

from livekit.agents.llm import FunctionCall
from livekit.agents.voice import events as lk

from voice_agent.domain.events import ToolCall, ToolResult
from voice_agent.domain.ids import CallId, ItemId, TurnId
from voice_agent.domain.turns import Entry

CANCELLED = "cancelled"
FAILED = "failed"
RECENT_MAX = 200


@dataclass(slots=True, kw_only=True)
class _Running:
    name: str
    turn_id: TurnId | None
    is_answered: bool = False


class ToolCalls:
    """The tool calls of one session: each call and each result is an entry once."""

    def __init__(self) -> None:
        self._calls: dict[str, _Running] = {}

    def updated(self, event: lk.ToolExecutionUpdatedEvent, turn_id: TurnId | None) -> list[Entry]:
        """A tool started or ended. ``turn_id``: the turn that is being answered."""
        match event.update:
            case lk.ToolCallStarted(function_call=call):
                return self._started(call, turn_id)
            case lk.ToolCallEnded(call_id=call_id, status="done", message=text):
                return self._answered(call_id, text or "", is_error=False)
            case lk.ToolCallEnded(call_id=call_id, status="cancelled"):
                return self._answered(call_id, CANCELLED, is_error=True)
            case _:
                return []  # a failure is told in words of the framework's, see ``executed``

    def executed(self, event: lk.FunctionToolsExecutedEvent, turn_id: TurnId | None) -> list[Entry]:
        """A batch of calls is over: record what was not recorded when it happened."""
        entries: list[Entry] = []
        for call, output in event.zipped():
            is_known = call.call_id in self._calls
            entries += self._started(call, turn_id)
            if not is_known or output.is_error:
                entries += self._answered(call.call_id, output.output, is_error=output.is_error)
        return entries

    def closed(self) -> list[Entry]:
        """The session is over: tools that nobody said the end of have failed."""
        return [
            entry
            for call_id in list(self._calls)
            for entry in self._answered(call_id, FAILED, is_error=True)
        ]

    def _started(self, call: FunctionCall, turn_id: TurnId | None) -> list[Entry]:
        if call.call_id in self._calls:
            return []
        self._calls[call.call_id] = _Running(name=call.name, turn_id=turn_id)
        if len(self._calls) > RECENT_MAX:
            del self._calls[next(iter(self._calls))]
        body = ToolCall(
            call_id=CallId(call.call_id),
            name=call.name,
            arguments=call.arguments,
            item_id=ItemId(call.id),
        )
        return [(turn_id, body)]

    def _answered(self, call_id: str, output: str, *, is_error: bool) -> list[Entry]:
        running = self._calls.get(call_id)
        if running is None or running.is_answered:
            return []
        running.is_answered = True
        body = ToolResult(
            call_id=CallId(call_id), name=running.name, output=output, is_error=is_error
        )
        return [(running.turn_id, body)]
