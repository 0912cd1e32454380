"""What comes in on a connection: ledgers, replies and sound are kept in step with each message.

The plugin turns messages into generations; this looks at each before and after it does.
"""

import json
import time
from collections.abc import Callable
from typing import Protocol

from google.genai import types
from livekit.plugins.google.realtime.realtime_api import _ResponseGeneration

from voice_agent.providers.gemini.memory import Memory
from voice_agent.providers.gemini.outgoing import Outgoing
from voice_agent.providers.gemini.replies import Replies
from voice_agent.providers.gemini.watching import Watch


class Parsing(Protocol):
    """The plugin's side of a session."""

    @property
    def generation(self) -> _ResponseGeneration | None:
        """The turn that runs, or ran last."""
        ...

    @property
    def rejects_calls(self) -> bool:
        """Whether the plugin answers tool calls by itself: the model may use none."""
        ...

    def named(self) -> str:
        """Make the id of a call that came without one."""
        ...


class Incoming:
    """Looks at the messages of one session."""

    def __init__(
        self, *, memory: Memory, outgoing: Outgoing, replies: Replies, watch: Watch,
        parsing: Parsing, on_renewed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._memory = memory
        self._outgoing = outgoing
        self._replies = replies
        self._watch = watch
        self._parsing = parsing
        self._on_renewed = on_renewed

    def before(self, message: types.LiveServerMessage) -> None:
        """Look at a message before the plugin acts on it."""
        if message.tool_call and not self._parsing.rejects_calls:
            for call in message.tool_call.function_calls or []:
                call.id = call.id or self._parsing.named()
                self._memory.called(call.id, call.name or "", json.dumps(call.args))
        if message.tool_call_cancellation:
            self._memory.cancelled(message.tool_call_cancellation.ids or [])
        content = message.server_content
        if content is not None and content.interrupted:
            self._memory.interrupted()
        usage = message.usage_metadata
        if usage is not None and usage.prompt_token_count:
            if self._watch.counted(usage.prompt_token_count):
                self._memory.forgot()
            self._memory.tokens = usage.prompt_token_count

    def after(
        self,
        message: types.LiveServerMessage,
        update: types.LiveServerSessionResumptionUpdate | None,
    ) -> None:
        """Look again, when the plugin has acted on it."""
        content = message.server_content
        if content is not None:
            self._heard_or_said(content)
        if message.tool_call and not self._parsing.rejects_calls:
            self._outgoing.acted_on(self._watch.acted_on_until(time.monotonic()))
            self._turn_over(handle_due=False)
        elif content is not None and (content.turn_complete or content.generation_complete):
            self._replies.due = "none"
            if content.turn_complete:
                self._turn_over(handle_due=True)
        if update is not None and update.resumable and update.new_handle:
            self._issued(update.new_handle)

    def generation_began(self, *, asked: bool) -> None:
        """The service began to hear or to speak."""
        now = time.monotonic()
        self._memory.generation_began()
        self._watch.generation_began(now, was_asked=asked or self._replies.is_expected)
        self._replies.began(by_request=asked)

    def _heard_or_said(self, content: types.LiveServerContent) -> None:
        now = time.monotonic()
        if content.input_transcription:
            self._watch.transcribed_at = now
            if self._watch.has_output:  # a transcript may lag behind the reply to it
                self._outgoing.acted_on(now)
        said = content.output_transcription
        if content.model_turn or (said is not None and said.text):
            if not self._watch.has_output:
                self._watch.has_output = True
                self._outgoing.acted_on(self._watch.acted_on_until(now))
            self._replies.due = "rest"

    def _turn_over(self, *, handle_due: bool) -> None:
        self._replies.due = "none"
        self._watch.turn_over(handle_due=handle_due)
        if not handle_due:
            self._memory.generation_ended()

    def _issued(self, handle: str) -> None:
        credited: set[str] = set()
        generation = self._parsing.generation
        if generation is not None and not generation._done:
            if generation._completed_timestamp is None:
                return  # amid a turn: how much of it the handle covers nobody can say
            credited = {generation.input_id, generation.response_id}
        if self._watch.handle_came():
            self._memory.generation_ended()
        if self._memory.issued(handle, at=time.time(), credits=credited):
            self._on_renewed()
