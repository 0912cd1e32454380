"""A provider failed and its library has given up: the caller hears a sentence, an operator a line.

A failed turn is not a failed call: the next one may work, so the agent stays and listens. It leaves
only when ``GIVE_UP_AFTER`` turns failed one after the other; whoever waits is then found another
agent by the backend.
"""

import logging
import traceback
from collections.abc import Callable
from typing import Any

from livekit.agents import AgentSession, APIStatusError, APITimeoutError
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import events as lk
from livekit.agents.voice.speech_handle import SpeechHandle

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 3
"""As many as livekit-agents counts before it closes a session; it starts again at every word that
is spoken, ours included, and so would never come to its end."""

_REMEDY_BY_STATUS = {
    400: "it does not understand what it is asked: check the model's name and its tools",
    401: "it does not accept the key: set a valid one",
    402: "the account has no credit",
    403: "the key may not use this model: set another",
    404: "it has no such model: check the model's name and the address",
    408: "it was too slow: nothing to do unless this goes on",
    429: "its quota or rate is used up: raise it, or wait",
}
_SERVER_FAILED = "it has a fault of its own: nothing to do unless this goes on"
_TOO_SLOW = "no answer in time: look at its status page, or raise VOICE_LLM_TIMEOUT_S"
_UNKNOWN = "see the stack"


def remedy(error: BaseException) -> str:
    """Say in words what an operator can do about it."""
    if isinstance(error, APITimeoutError):
        return _TOO_SLOW
    if isinstance(error, APIStatusError):
        known = _REMEDY_BY_STATUS.get(error.status_code)
        return known or (_SERVER_FAILED if error.status_code >= 500 else _UNKNOWN)
    return _UNKNOWN


class Trouble:
    """What becomes of the errors of one session's providers."""

    def __init__(
        self,
        session: AgentSession[Any],
        *,
        sentence: str,
        log_fields: Callable[[], dict[str, object]],
        give_up: Callable[[], None],
    ) -> None:
        self._session = session
        self._sentence = sentence
        self._log_fields = log_fields
        self._give_up = give_up
        self._speaking: SpeechHandle | None = None
        self._failed_in_a_row = 0

    def watch(self) -> None:
        """Begin to tell answers from failures."""
        self._session.on("conversation_item_added", self._on_item)

    def meet(self, event: lk.ErrorEvent) -> None:
        """Deal with one error. What is still being tried again is nobody's trouble yet."""
        if getattr(event.error, "recoverable", False):
            return
        cause = getattr(event.error, "error", None)
        error = cause if isinstance(cause, BaseException) else None
        log.error(
            "provider failed: the caller was asked to try again",
            extra={
                **self._log_fields(),
                "provider": type(event.source).__module__.rpartition(".")[0],
                "error_type": type(error or event.error).__name__,
                "status": getattr(error, "status_code", None),
                "remedy": remedy(error) if error is not None else _UNKNOWN,
                # not exc_info: a job's log passes through a queue that makes it part of the message
                "stack": "".join(traceback.format_exception(error)) if error else "",
            },
        )
        if self._speaking is None:
            self._failed_in_a_row += 1
            self._say_so()

    def _say_so(self) -> None:
        try:
            speaking = self._session.say(self._sentence)
        except RuntimeError:  # the session is closing: nobody hears it any more
            return
        self._speaking = speaking
        speaking.add_done_callback(self._on_said)

    def _on_said(self, _: SpeechHandle) -> None:
        self._speaking = None
        if self._failed_in_a_row >= GIVE_UP_AFTER:
            self._give_up()

    def _on_item(self, event: lk.ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, ChatMessage) or item.role != "assistant":
            return
        if item.text_content != self._sentence:
            self._failed_in_a_row = 0
