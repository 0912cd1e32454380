"""A session that survives its connections.

It keeps the plugin's parsing of what comes in, and does itself what decides about memory: when to
connect, what to send, when to switch. Its state is two ledgers (``memory``), so a drop at any
message leaves nothing half done: what the service lacks is computed when it can be sent.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from google.genai import types
from livekit.agents import APIConnectionError, llm
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import aio, is_given, shortuuid
from livekit.plugins.google.realtime import realtime_api

from voice_agent.aio.backoff import Backoff
from voice_agent.providers.gemini import saved
from voice_agent.providers.gemini.hearing import Hearing
from voice_agent.providers.gemini.incoming import Incoming
from voice_agent.providers.gemini.items import is_service_made
from voice_agent.providers.gemini.keeping import HandleKeeper
from voice_agent.providers.gemini.ladder import Ladder, Loss, Rung
from voice_agent.providers.gemini.link import FOREIGN, Link, Unreadable, code_of, seconds_of
from voice_agent.providers.gemini.memory import Memory
from voice_agent.providers.gemini.models import accepts
from voice_agent.providers.gemini.options import Outcome
from voice_agent.providers.gemini.outgoing import Outgoing
from voice_agent.providers.gemini.replies import EXPECTED_S, Asked, Replies, request
from voice_agent.providers.gemini.reporting import Report
from voice_agent.providers.gemini.sending import Sender, ToolManner
from voice_agent.providers.gemini.switching import Switch
from voice_agent.providers.gemini.watching import Watch

if TYPE_CHECKING:
    from voice_agent.providers.gemini.model import RealtimeModel

log = logging.getLogger(__name__)

CODE_WAIT_S = 0.2
"""Sending notices a close at once; its code comes with the next receive."""


class RealtimeSession(realtime_api.RealtimeSession):
    """One session with the service, over as many connections as it takes."""

    def __init__(self, realtime_model: "RealtimeModel", *, resume: bytes | None = None) -> None:
        # the plugin's constructor starts _main_task: all of ours must exist before it
        options = self._options = realtime_model.options
        limits = self._limits = options.limits
        model = realtime_model._opts.model
        self._resume = resume
        self._accepts = accepts(model, vertexai=realtime_model._opts.vertexai)
        self._memory = Memory()
        self._outgoing = Outgoing(away_audio_s=limits.away_audio_s)
        self._replies = Replies(reply_s=limits.reply_s, on_unasked=self._unasked)
        self._sender = Sender(
            memory=self._memory, outgoing=self._outgoing, replies=self._replies,
            accepts=self._accepts, options=options, model=model,
        )  # fmt: skip
        self._ladder = Ladder(
            give_up_s=limits.give_up_s,
            settled_s=limits.settled_s,
            steady_s=limits.steady_s,
            backoff=Backoff(base_s=limits.backoff_s, cap_s=limits.backoff_cap_s),
        )
        self._watch = Watch(limits)
        self._hearing = Hearing(outgoing=self._outgoing, watch=self._watch)
        self._switch = Switch(
            memory=self._memory, sender=self._sender, replies=self._replies, watch=self._watch
        )
        self._incoming = Incoming(
            memory=self._memory, outgoing=self._outgoing, replies=self._replies,
            watch=self._watch, parsing=self, on_renewed=self._renewed,
        )  # fmt: skip
        self._keeper = HandleKeeper(
            options.handles, timeout_s=limits.handles_s, valid_s=self._accepts.handle_valid_s,
            payload=self.save,
        )  # fmt: skip
        self._link: Link | None = None
        self._wake = asyncio.Event()
        self._failed: Exception | None = None
        self._starts_quietly = False
        super().__init__(realtime_model)
        self._main_atask.add_done_callback(self._ended)
        # the plugin shares its options among sessions: instructions of one would reach another
        self._opts = replace(self._opts)
        self._where = "|".join(
            (
                "vertex" if self._opts.vertexai else "gemini",
                self._opts.project or "",
                self._opts.location or "",
                model,
            )
        )

    # -- what the framework calls ----------------------------------------------------------

    @property
    def chat_ctx(self) -> llm.ChatContext:
        """The conversation: what was handed over and what the service said."""
        return llm.ChatContext(self._memory.items)

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        """Hand the conversation over. Never waits; the service is told as soon as it can be."""
        self._memory.hand_over(
            chat_ctx.copy(
                exclude_handoff=True, exclude_empty_message=True, exclude_config_update=True
            )
        )
        self._wake.set()

    async def update_instructions(self, instructions: str) -> None:
        """Replace the instructions: in the next setup, between turns, or at once where possible."""
        if is_given(self._opts.instructions) and self._opts.instructions == instructions:
            return
        self._opts.instructions = instructions
        if self._link is not None and self._accepts.instructions_by != "reconnect":
            self._sender.instructions = instructions
            self._wake.set()
        else:
            self._mark_restart_needed()

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        """Replace the tools: the session is resumed with them between turns."""
        context = llm.ToolContext(tools)
        if self._tools == context:
            return
        self._tools = context
        self._mark_restart_needed()

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> Asked:
        """Ask for a reply. The request outlives connections, and waits for one."""
        turns = request(self._opts.model, instructions if is_given(instructions) else None)
        self._pending_generation_fut = None
        asked = self._replies.ask(turns)
        if self._failed is not None:
            self._replies.fail(llm.RealtimeError(f"the session has failed: {self._failed}"))
            return asked
        self._pending_generation_fut = asked
        if self._in_user_activity:
            self._send_client_event(types.LiveClientRealtimeInput(activity_end=types.ActivityEnd()))
            self._in_user_activity = False
        self._wake.set()
        return asked

    def save(self) -> bytes:
        """What another process needs to go on: empty before the first handle. Keep it secret."""
        return saved.encode(self._memory, where=self._where)

    @property
    def session_resumption_handle(self) -> str | None:
        """The newest good handle."""
        return self._memory.frozen.handle if self._memory.frozen else None

    async def aclose(self) -> None:
        """End the session; the newest handle is kept."""
        self._replies.cancel("session closed")
        await super().aclose()
        await self._keeper.aclose()

    # -- the life of connections -----------------------------------------------------------

    async def _main_task(self) -> None:
        self._ladder.away(time.monotonic())
        self._watch.away_since = None
        await self._take_saved()
        is_first = True
        while not self._msg_ch.closed:
            used = self._ladder.rung
            loss = await self._live(used, is_first=is_first)
            is_first = False
            if self._msg_ch.closed:
                return
            if loss is None and not self._watch.is_sent_away:
                self._ladder.away(time.monotonic())
                continue
            # to be sent away in the first moment, each time, is a loss like any other
            error, what = loss or (
                ConnectionError("sent away"), Loss(rung=used, was_healthy=True)
            )  # fmt: skip
            step = self._ladder.lost(what, time.monotonic())
            if step.rung is Rung.FAILED:
                self._give_up(error)
                return
            await asyncio.sleep(step.delay_s)

    async def _live(self, rung: Rung, *, is_first: bool) -> tuple[Exception, Loss] | None:
        """Connect and serve. None: left on purpose; else how the connection was lost."""
        rung = self._choose(rung)
        self._switch.connecting()
        link: Link | None = None
        began = time.monotonic()
        try:
            async with AsyncExitStack() as stack:
                link = await self._open(stack, rung)
                await self._serve(link, rung, is_first=is_first)
        except FOREIGN as exc:
            healthy = link is not None and link.was_healthy(self._limits.settled_s)
            silent = isinstance(exc, TimeoutError) and link is None
            log.warning(
                "gemini connection lost",
                extra={
                    "op": rung.name.lower(),
                    "code": code_of(exc),
                    "error_type": type(exc).__name__,
                    "duration_ms": round(1000 * (time.monotonic() - began)),
                },
            )
            if healthy:
                self._watch.cause = f"lost ({code_of(exc) or type(exc).__name__})"
                self._emit_error(exc, recoverable=True)
            return exc, Loss(rung=rung, code=code_of(exc), was_healthy=healthy, silent=silent)
        return None

    def _choose(self, rung: Rung) -> Rung:
        """Resume if there is something to resume, and it is not too old or too different."""
        frozen = self._memory.frozen
        if rung is not Rung.RESUME or frozen is None:
            self._memory.connected(resumed=False)
            return max(rung, Rung.FRESH)
        if time.time() - frozen.issued_at >= self._accepts.handle_valid_s:
            self._watch.cause = "handle too old"
            self._memory.connected(resumed=False)
            return Rung.FRESH
        self._memory.connected(resumed=True)
        if (reason := self._sender.difference().rebuild) is not None:
            self._watch.cause = reason
            self._memory.connected(resumed=False)
            return Rung.FRESH
        return Rung.RESUME

    async def _open(self, stack: AsyncExitStack, rung: Rung) -> Link:
        resumed = rung is Rung.RESUME
        frozen = self._memory.frozen
        self._session_resumption_handle = frozen.handle if resumed and frozen else None
        config = self._build_connect_config()
        began = time.monotonic()
        limit = min(self._limits.set_up_s, max(self._ladder.left_s(began), 0.1))
        async with asyncio.timeout(limit):
            inner = await stack.enter_async_context(
                self._client.aio.live.connect(model=self._opts.model, config=config)
            )
        self._report_connection_acquired(time.monotonic() - began)
        return Link(inner, self, resumed=resumed)

    async def _serve(self, link: Link, rung: Rung, *, is_first: bool) -> None:
        """Serve a connection until it is lost (raises) or left (returns)."""
        self._session_should_close.clear()
        self._session_error = None
        self._sender.begin()
        self._watch.connected(resumed=link.resumed, tokens=self._memory.tokens)
        self._active_session = link  # type: ignore[assignment] # what _recv_task compares
        self._link = link
        receiving = _task(self._recv_task(link), "gemini-receive")  # type: ignore[arg-type]
        sending = _task(self._keep_up(link, rung, is_first=is_first), "gemini-send")
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() is not None:
                await asyncio.wait({receiving}, timeout=CODE_WAIT_S)
            if self._session_error is not None:
                if isinstance(self._session_error, FOREIGN):
                    raise self._session_error
                raise Unreadable(type(self._session_error).__name__) from self._session_error
            if sending.done():
                sending.result()
        finally:
            self._left()
            await aio.cancel_and_wait(receiving, sending)
            self._hearing.again()
            if self._in_user_activity:  # the caller still speaks: the next connection must know
                self._outgoing.push(
                    types.LiveClientRealtimeInput(activity_start=types.ActivityStart())
                )

    def _left(self) -> None:
        """Nobody is connected any more: from here on everything waits for the next connection."""
        if self._link is None:
            return
        self._ladder.lived(self._link.lived_s)
        self._link = None
        self._active_session = None
        self._session_should_close.set()
        generation = self._current_generation
        heard_again = self._hearing.lost(generation)
        if heard_again and generation is not None:
            self._take_words_back(generation)
        self._mark_current_generation_done()
        self._replies.lost(heard_again=heard_again)
        self._ladder.away(time.monotonic())
        self._watch.away_since = self._ladder.lost_at

    def _take_words_back(self, generation: realtime_api._ResponseGeneration) -> None:
        generation.input_transcription = ""
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(
                item_id=generation.input_id, transcript="", is_final=True
            ),
        )

    async def _keep_up(self, link: Link, rung: Rung, *, is_first: bool) -> None:
        """Send whatever the service lacks, until there is a reason to leave."""
        report = Report(
            link, memory=self._memory, sender=self._sender, watch=self._watch, is_first=is_first
        )
        if not link.resumed:
            report.summarised = await self._sender.seed(link, rung)
        while True:
            self._wake.clear()
            now = time.monotonic()
            if self._switch.is_due(now, link):
                return
            if (outcome := report.outcome(now)) is not None:
                self._renewed_with(outcome)
            if not await self._sender.send_next(link, self._tool_manner()):
                await self._wait(link)

    async def _wait(self, link: Link) -> None:
        due_s = self._watch.due_s(time.monotonic(), link.heard_at)
        if due_s is None and self._replies.is_expected:
            due_s = EXPECTED_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(due_s):
                await self._wake.wait()

    def _give_up(self, error: Exception) -> None:
        self._failed = error
        log.error("gemini session given up",
                  extra={"code": code_of(error), "error_type": type(error).__name__})  # fmt: skip
        self._options.on_outcome(
            Outcome(kind="failed", cause=str(code_of(error) or type(error).__name__))
        )
        self._replies.fail(llm.RealtimeError("the connection to Gemini could not be renewed"))
        final = APIConnectionError("Gemini Live could not be reached again: the session is over")
        final.__cause__ = error
        if not self._options.on_failed(final):
            self._emit_error(final, recoverable=False)

    def _renewed_with(self, outcome: Outcome) -> None:
        log.info(
            "gemini session renewed",
            extra={
                "outcome": outcome.kind, "cause": outcome.cause, "count": outcome.sent_count
            },
        )  # fmt: skip
        self._options.on_outcome(outcome)
        self.emit("session_reconnected", llm.RealtimeSessionReconnectedEvent())

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ends it otherwise than by ``aclose`` is told like a service that is gone."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not self._msg_ch.closed:
            self._give_up(error)

    # -- what comes in ---------------------------------------------------------------------

    def before(self, message: types.LiveServerMessage) -> None:
        """Look at a message before the plugin acts on it."""
        self._incoming.before(message)

    def after(
        self,
        message: types.LiveServerMessage,
        update: types.LiveServerSessionResumptionUpdate | None,
    ) -> None:
        """Look again, when the plugin has acted on it."""
        self._incoming.after(message, update)
        self._wake.set()

    def broken(self, error: Exception) -> None:
        """Nothing more will come on this connection."""
        self._session_error = error
        self._left()

    @property
    def generation(self) -> realtime_api._ResponseGeneration | None:
        """The turn that runs, or ran last."""
        return self._current_generation

    @property
    def rejects_calls(self) -> bool:
        """Whether the plugin answers tool calls by itself: the model may use none."""
        return bool(self._opts.tool_choice == "none")

    def named(self) -> str:
        """Make the id of a call that came without one, as the plugin does."""
        call_id = shortuuid("fnc-call-")
        self._synthetic_call_ids.add(call_id)
        return call_id

    def _renewed(self) -> None:
        self._ladder.renewed()
        self._keeper.keep()

    def _start_new_generation(self) -> None:
        self._starts_quietly = self._replies.goes_on
        self._incoming.generation_began(asked=self._pending_generation_fut is not None)
        super()._start_new_generation()
        self._starts_quietly = False

    def _handle_input_speech_started(self) -> None:
        """Interrupt what plays; not for the rest of it that a lost connection held back."""
        if not self._starts_quietly:
            super()._handle_input_speech_started()

    def _mark_current_generation_done(self) -> None:
        generation = self._current_generation
        if generation is None or generation._done:
            return
        spoken = bool(generation.input_transcription)
        super()._mark_current_generation_done()
        if spoken:  # from here on the words count, and not their sound
            self._outgoing.acted_on(self._watch.transcribed_at)
        # the plugin adds what was said to its own context: ours is the ledger
        items, self._chat_ctx = self._chat_ctx.items, llm.ChatContext.empty()
        for item in items:
            if is_service_made(item.id):
                self._memory.came(item, connected=self._link is not None, spoken=spoken)

    def _handle_go_away(self, go_away: types.LiveServerGoAway) -> None:
        left_s = seconds_of(go_away.time_left)
        log.info("gemini will close the connection", extra={"left_s": left_s})
        self._watch.leave_by(time.monotonic(), left_s)
        self._wake.set()

    # -- what goes out ---------------------------------------------------------------------

    def _send_client_event(self, event: Any) -> None:  # a union of the plugin's own
        if self._msg_ch.closed:
            return
        if isinstance(event, types.LiveClientRealtimeInput):
            self._outgoing.push(event)
        elif isinstance(event, types.LiveClientToolResponse) and self._link is not None:
            self._sender.refused.append(event)
        self._wake.set()

    def _mark_restart_needed(self, on_error: bool = False) -> None:
        if on_error:
            self._session_should_close.set()
            return
        self._switch.configured()
        self._wake.set()

    def _build_connect_config(self) -> types.LiveConnectConfig:
        config = super()._build_connect_config()
        resumed = self._session_resumption_handle is not None
        config.history_config = (
            types.HistoryConfig(initial_history_in_client_content=True)
            if self._accepts.initial_history and not resumed and self._memory.difference().items
            else None
        )
        return config

    def _tool_manner(self) -> ToolManner:
        return ToolManner(
            vertexai=self._opts.vertexai,
            scheduling=self._opts.tool_response_scheduling,
            silent_ok=not self._opts.vertexai
            and self._opts.tool_behavior == types.Behavior.NON_BLOCKING,
            synthetic=frozenset(self._synthetic_call_ids),
        )

    def _unasked(self, _: Asked) -> None:
        self._pending_generation_fut = None
        self.interrupt()

    # -- another process -------------------------------------------------------------------

    async def _take_saved(self) -> None:
        payload = self._resume if self._resume is not None else await self._keeper.take()
        if payload:
            usable = saved.restore(payload, self._memory, where=self._where)
            self._watch.cause = "another process" if usable else "saved state of no use"


def _task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)
