"""A context clear as the model meets it: what is being said stops, and nothing of before is shown.

If it fails the clear stays unacknowledged and is tried again with the next heartbeat.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.llm import RealtimeError
from livekit.agents.voice import events as lk

from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs
from voice_agent.room.agent import VoiceAgent

log = logging.getLogger(__name__)

FORGET_S = 1.0
"""A reply is cut short in milliseconds; the lease (3 s) is not renewed meanwhile."""


class Forgetting:
    """Makes the model of one session forget."""

    def __init__(self, session: AgentSession[Any], jobs: Jobs, clock: Clock) -> None:
        self._session = session
        self._jobs = jobs
        self._clock = clock
        self._is_reply_due = False

    async def forget(self, *, keep_reply: bool, log_fields: Mapping[str, object]) -> bool:
        """Drop the window; say whether that was done within a second. May be repeated.

        ``keep_reply``: a tool of the reply that is being made asked for it: the reply is finished,
        and then forgotten, too.
        """
        try:
            async with asyncio.timeout(FORGET_S):
                if keep_reply:
                    await self._agent.show_nothing()
                    self._forget_reply_later()
                else:
                    await self._agent.forget(before_s=self._now_s())
        except (TimeoutError, RuntimeError, RealtimeError) as exc:
            log.warning("the model has not dropped its window yet",
                        extra={**log_fields, "error_type": type(exc).__name__})  # fmt: skip
            return False
        return True

    def _forget_reply_later(self) -> None:
        """Once nobody speaks: livekit-agents has put the reply into the context by then."""
        if self._is_reply_due:
            return
        self._is_reply_due = True

        def on_state(event: lk.AgentStateChangedEvent) -> None:
            if event.new_state != "listening":
                return
            self._is_reply_due = False
            self._session.off("agent_state_changed", on_state)
            now_s = self._now_s()
            self._jobs.start_optional("forget-reply", lambda: self._agent.drop(before_s=now_s))

        self._session.on("agent_state_changed", on_state)

    @property
    def _agent(self) -> VoiceAgent:
        agent = self._session.current_agent
        assert isinstance(agent, VoiceAgent)
        return agent

    def _now_s(self) -> float:
        return self._clock.now().timestamp()
