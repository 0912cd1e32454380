"""The reply that somebody waits for: asked for by the application, or due to the caller.

A connection that is lost takes no reply with it: what was due is asked for again on the next one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal

from google.genai import types
from livekit.agents.llm import GenerationCreatedEvent, RealtimeError
from livekit.plugins.google.realtime.realtime_api import MODELS_WITHOUT_REPLY_PLACEHOLDER

from voice_agent.providers.gemini.items import FRAMED, user_turn

Due = Literal["none", "whole", "rest"]
Asked = asyncio.Future[GenerationCreatedEvent]

EXPECTED_S = 2.0
"""A reply that has not begun by then is no longer waited for before something else is said."""
GO_ON = (
    "The connection was lost while you were answering. Go on where your last words end, without"
    " repeating them and without mentioning this."
)


def needs_placeholder(model: str) -> bool:
    """Whether a model only answers a user's turn."""
    return not any(tag in model for tag in MODELS_WITHOUT_REPLY_PLACEHOLDER)


def request(model: str, instructions: str | None) -> list[types.Content]:
    """Make the turns that ask for a reply, as the plugin does."""
    placeholder = needs_placeholder(model)
    turns: list[types.Content] = []
    if instructions and placeholder:
        turns.append(types.Content(role="model", parts=[types.Part(text=instructions)]))
    elif instructions:
        turns.append(user_turn(FRAMED.format(instructions)))
    if placeholder:
        turns.append(user_turn("."))
    return turns


class Replies:
    """What is asked for and what is due."""

    def __init__(self, *, reply_s: float, on_unasked: Callable[[Asked], None]) -> None:
        self._reply_s = reply_s
        self._on_unasked = on_unasked
        self._timer: asyncio.TimerHandle | None = None
        self._turns: list[types.Content] = []
        self._expected_until = 0.0
        self.asked: Asked | None = None
        self.is_sent = False
        self.due: Due = "none"
        """What the service owes on this connection, if it is lost now."""
        self.owed: Due = "none"
        """What it owed when the last connection was lost."""
        self.goes_on = False
        """Whether what it owed is on its way: it comes after what still plays."""

    def expect(self) -> None:
        """Something was sent that brings a reply."""
        self.due, self.owed = "whole", "none"
        self._expected_until = time.monotonic() + EXPECTED_S

    @property
    def is_expected(self) -> bool:
        """Whether a reply is on its way of which nothing came yet."""
        return self.is_awaited or time.monotonic() < self._expected_until

    def ask(self, turns: Sequence[types.Content]) -> Asked:
        """Ask for a reply; whatever was asked for before is cancelled."""
        self.cancel("superseded by a new generate_reply call")
        asked: Asked = asyncio.get_running_loop().create_future()
        asked.add_done_callback(self._done)
        self.asked, self._turns, self.is_sent = asked, list(turns), False
        return asked

    @property
    def unsent(self) -> list[types.Content] | None:
        """The request that has still to be sent."""
        return self._turns if self.asked is not None and not self.is_sent else None

    @property
    def is_awaited(self) -> bool:
        """Whether a request is on its way and nothing came yet."""
        return self.asked is not None and self.is_sent

    def sent(self) -> None:
        """The request went out: now it must be answered in time."""
        self.is_sent = True
        self.owed = "none"
        self._timer = asyncio.get_running_loop().call_later(self._reply_s, self._late)

    def sent_by_itself(self) -> None:
        """Something was sent that is answered anyway: nothing more needs to be asked."""
        if self.asked is not None and not self.is_sent:
            self.sent()
        self.expect()

    def began(self, *, by_request: bool) -> None:
        """The service began to hear or to speak."""
        self.due, self.owed = "whole", "none"
        self.goes_on = False
        self._expected_until = 0.0
        if by_request:
            self._forget()

    def lost(self, *, heard_again: bool) -> None:
        """The connection is gone; ``heard_again``: the sound is sent again and asks by itself."""
        if self.asked is not None:
            self.is_sent = False
            self._stop_timer()
        elif not heard_again and self.due != "none":
            self.owed = self.due
        self.due, self.goes_on = "none", False
        self._expected_until = 0.0

    def owed_turns(self, model: str) -> list[types.Content]:
        """Make the turns that ask for what is owed."""
        return request(model, GO_ON if self.owed == "rest" else None)

    def fail(self, error: Exception) -> None:
        """No reply will come."""
        asked = self.asked
        self._forget()
        if asked is not None and not asked.done():
            asked.set_exception(error)
        self.due = self.owed = "none"

    def cancel(self, reason: str) -> None:
        """Nobody waits any more."""
        asked = self.asked
        self._forget()
        if asked is not None and not asked.done():
            asked.cancel(reason)

    def _late(self) -> None:
        self.fail(RealtimeError("generate_reply timed out waiting for generation_created event."))

    def _done(self, asked: Asked) -> None:
        if asked is not self.asked:
            return
        was_sent = self.is_sent
        self._forget()
        if asked.cancelled() and was_sent:
            self._on_unasked(asked)

    def _forget(self) -> None:
        self.asked, self._turns, self.is_sent = None, [], False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
