"""The life of one call: load, record, end.

Loading has a deadline and never fails: without the backend the call begins degraded, under a
fence claimed from the clock and, if need be, without knowing its conversation's id yet; the relay
and ``bind_later`` make up for it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

from voice_agent.aio.backoff import Backoff
from voice_agent.aio.clock import Clock
from voice_agent.aio.supervisor import Jobs
from voice_agent.call.asking import Asking, Log
from voice_agent.call.assurance import Assurance
from voice_agent.call.enrolment import Enrolment, Place, Pointer
from voice_agent.call.person import NoProfiles, Profiles
from voice_agent.call.ports import CallObserver, CallSignals
from voice_agent.call.recorder import Recorder
from voice_agent.call.sharing import Sharing
from voice_agent.call.summaries import Summaries, Summariser
from voice_agent.domain.conversation import Conversation, WindowLimits
from voice_agent.domain.errors import OutboxFull, VoiceAgentError
from voice_agent.domain.events import Event, Summary
from voice_agent.domain.ids import ConversationId
from voice_agent.domain.patterns import Pattern, PatternSetting, pattern_of
from voice_agent.state.codec import instant
from voice_agent.state.handles import ProviderHandles
from voice_agent.state.hot_lease import LEASE_S
from voice_agent.state.hot_tier import HotTier
from voice_agent.state.outbox import Header, Outbox, Placement
from voice_agent.state.ownership import Holder, Lease
from voice_agent.state.ports import Backend, LeaseState, WriterGrant
from voice_agent.state.recovery import Recovered, Recovery
from voice_agent.state.store import Store, StoreEvents

log = logging.getLogger(__name__)

FLUSH_WAITING_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """Numbers of one call; see config/settings.py for their meaning."""

    load_s: float
    limits: WindowLimits
    key: Literal["room", "caller"]
    pattern: PatternSetting
    retrieval_above: int
    max_gap_s: float | None


class CallBackend(Backend, Log, Protocol):
    """The backend, as a call needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLayers:
    """The layers beneath a call. ``backend`` and ``placement`` None: memory-only mode."""

    backend: CallBackend | None
    placement: Placement | None
    clock: Clock
    new_id: Callable[[], str]
    observer: CallObserver
    summariser: Summariser
    handles: ProviderHandles
    """Of the speech model's sessions: shared where there is Redis, else this process's own."""
    hot: HotTier | None = None
    """Shared between pods; None: everything works on one."""
    profiles: Profiles = field(default_factory=NoProfiles)


class Call:
    """One call, from ``load`` to ``end``."""

    def __init__(
        self, *, settings: CallSettings, layers: CallLayers, pointer: Pointer, place: Place
    ) -> None:
        self._settings = settings
        self._layers = layers
        self._place = place
        self._outbox: Outbox | None = None
        self._ended = False
        self._loaded = False
        self.writer = Enrolment(
            pointer,
            place,
            max_gap_s=settings.max_gap_s,
            clock=layers.clock,
            new_id=layers.new_id,
        )
        self.pattern = Pattern.HYBRID
        self.recovered = Recovered()
        self.already_served = False
        """Another agent is alive and serves the conversation: leave."""
        self.superseded = asyncio.Event()
        """Set when another agent owns the conversation: go silent."""
        self.asking = Asking(
            layers.backend,
            conversation_id=lambda: self.writer.conversation_id if self.writer.registered else None,
            seen=lambda: self.store.conversation,
            new_id=layers.new_id,
            beat=self._look,
            forget=self._forget,
        )
        self.asking.may_search &= settings.pattern != "hybrid"
        self._signals: CallSignals | None = None
        self._lease: Lease | None = None
        self._sharing: Sharing | None = None
        self._assurance: Assurance
        self.recorder: Recorder
        self.store: Store
        self.summaries: Summaries

    @property
    def needs_caller(self) -> bool:
        """Nothing names the conversation but, by setting, who calls."""
        return self._settings.key == "caller" and self.writer.pointer.source == "key"

    def point_to_caller(self, identity: str) -> None:
        """Resolve the conversation by the caller's identity. Before ``load``."""
        self.writer.point_to_caller(identity)

    async def load(self) -> None:
        """Find the conversation, register as its writer, read its history back, open the outbox.

        Takes at most ``load_s`` seconds for each of the two steps, whatever is away.
        """
        backend, writer = self._layers.backend, self.writer
        grant = await self._find(backend)
        if backend is not None and not await self._own(backend, grant):
            self.already_served = True
            if grant is not None:
                await writer.withdraw(backend)
            return
        if writer.conversation_id is not None:
            self.recovered = await self._recover(writer.conversation_id, grant)
        if self._layers.placement is not None:
            header = self._header()
            self._outbox = await asyncio.to_thread(
                self._open_outbox, self._layers.placement, header
            )
            if self._layers.hot is not None and backend is not None:
                self._sharing = Sharing(
                    self._layers.hot,
                    backend,
                    writer=writer,
                    header=header,
                    clock=self._layers.clock,
                )
        self._open_store()

    async def keep(self, jobs: Jobs, signals: CallSignals) -> None:
        """Start what runs beside the call: heartbeat, late binding, retries of a full disk."""
        self._signals = signals
        jobs.start_watch("summaries", lambda: self.summaries.keep(jobs))
        backend = self._layers.backend
        if backend is None:
            return
        writer = self.writer
        if writer.registered and writer.conversation_id is not None:
            signals.bound(writer.conversation_id)
        else:
            jobs.start_optional(
                "bind-conversation", lambda: self._bind_later(backend, jobs, signals)
            )
        if (lease := self._lease) is not None:
            on_state = partial(self._on_lease, signals=signals)
            jobs.start_optional("lease", lambda: lease.keep(jobs, on_state))
            if self._layers.hot is not None:
                jobs.start_optional("lease-in-redis", lambda: lease.keep_in_redis(jobs))
        if self._sharing is not None:
            sharing = self._sharing
            jobs.start_optional("share", lambda: sharing.keep(jobs, self.recovered))
        jobs.start_optional("flush-waiting", lambda: self._flush_waiting(jobs))

    async def still_owns(self) -> bool:
        """Ask whether no other agent has taken over: after a pause, before the next sound.

        False sets ``superseded``. Never raises.
        """
        return self._lease is None or await self._lease.check()

    def yield_to(self, fence: int) -> None:
        """An agent with this fence speaks in our room: go silent, if it is above ours."""
        if fence <= self.writer.fence or self.superseded.is_set():
            return
        log.warning("an agent with a higher fence speaks in the room",
                    extra={**self.log_fields, "fence": self.writer.fence,
                           "newer_fence": fence})  # fmt: skip
        self.superseded.set()

    async def secured(self) -> None:
        """Wait, before a reply, until the caller's words are as safe as the durability asks.

        At most a second; never raises.
        """
        await self._assurance.secured(self.recorder)

    def end(self, reason: str) -> None:
        """Record that the call is over. The first reason wins; may be repeated."""
        if self._ended or not self._loaded:
            self._ended = True
            return
        self._ended = True
        self.recorder.record_all(self.recorder.turns.closed())
        if self._outbox is not None:
            try:
                self.store.flush_waiting()
                self._outbox.end(
                    reason=reason,
                    at=instant(self._layers.clock.now()),
                    last_ordinal=self.recorder.last_ordinal,
                    usage=self.recorder.spending.take(),
                )
            except OutboxFull:
                pass  # the relay then records the end as the agent's death
            self._outbox.ring()
            self._outbox.close()
            self._outbox.ring()
        if self._sharing is not None:
            self._sharing.close()
        log.info("call ended", extra={**self.log_fields, "reason": reason})

    @property
    def log_fields(self) -> dict[str, object]:
        """What names this call in a log line."""
        return self.writer.log_fields

    async def _find(self, backend: Backend | None) -> WriterGrant | None:
        """Resolve and register within the deadline; None when the backend is away."""
        if backend is None:
            self.writer.name_alone()
            return None
        try:
            async with asyncio.timeout(self._settings.load_s):
                return await self._introduce(backend)
        except (VoiceAgentError, TimeoutError) as exc:
            self._layers.observer.degraded("backend", on=True)
            log.warning(
                "backend is away: the call begins without it and is delivered later",
                extra={**self.log_fields, "layer": "backend", "error_type": type(exc).__name__},
            )
            return None

    async def _own(self, backend: Backend, grant: WriterGrant | None) -> bool:
        """Become the one who speaks; False if another agent is alive and does."""
        writer, hot = self.writer, self._layers.hot
        if grant is None and hot is not None:
            await writer.claim(hot.leases)
        self._lease = Lease(
            Holder(
                writer_id=writer.writer_id,
                conversation_id=lambda: writer.conversation_id,
                fence=lambda: writer.fence,
                is_registered=lambda: writer.registered,
                last_ordinal=lambda: self.recorder.last_ordinal if self._loaded else 0,
                session_number=lambda: writer.session_number,
            ),
            backend=backend,
            leases=hot.leases if hot is not None else None,
            clock=self._layers.clock,
            on_lost=self.superseded.set,
        )
        return await self._lease.acquire(lease_s=grant.lease_s if grant else LEASE_S)

    async def _introduce(self, backend: Backend) -> WriterGrant:
        grant = await self.writer.introduce(backend)
        self.pattern = pattern_of(
            self._settings.pattern,
            turns=grant.version,
            retrieval_above=self._settings.retrieval_above,
        )
        self.asking.is_long = self.pattern is Pattern.RETRIEVAL
        return grant

    def _open_store(self) -> None:
        conversation = Conversation(session_number=self.writer.session_number)
        for event in self.recovered.events:
            conversation = conversation.apply(event)
        self.store = Store(
            outbox=self._outbox,
            conversation=conversation,
            limits=self._settings.limits,
            events=StoreEvents(
                degraded=lambda on: self._layers.observer.degraded("outbox", on=on),
                dropped=lambda event: log.error(
                    "event lost: the disk is full and so is memory",
                    extra={**self.log_fields, "ordinal": event.ordinal},
                ),
                trimmed=self._trimmed,
                written=self._sharing.written if self._sharing else lambda ordinal, data: None,
            ),
        )
        self._assurance = Assurance(
            self._outbox, clock=self._layers.clock, observer=self._layers.observer
        )
        self.recorder = Recorder(
            store=self.store,
            clock=self._layers.clock,
            new_id=self._layers.new_id,
            on_recorded=self._recorded,
            session_number=self._known_session_number,
        )
        standing = [e.body.text for e in conversation.window if isinstance(e.body, Summary)]
        self.summaries = Summaries(
            self._layers.summariser, self.recorder, previous=standing[-1] if standing else ""
        )
        self._loaded = self.writer.is_writing = True

    def _known_session_number(self) -> int | None:
        return self.writer.session_number if self.writer.registered else None

    def _recorded(self, event: Event) -> None:
        self._assurance.recorded(event)
        self._layers.observer.recorded(event)

    def _trimmed(self, cut: Sequence[Event]) -> None:
        self.summaries.trimmed(cut)

    def _header(self) -> Header:
        writer = self.writer
        return Header(
            writer_id=writer.writer_id,
            started_at=instant(writer.started_at),
            conversation_id=writer.conversation_id,
            key=writer.pointer.key if writer.conversation_id is None else None,
            max_gap_s=self._settings.max_gap_s,
            fence=writer.fence,
            room=self._place.room,
            job_id=self._place.job_id,
        )

    def _open_outbox(self, placement: Placement, header: Header) -> Outbox:
        outbox = Outbox(placement, header)
        try:
            outbox.open()
        except OutboxFull as exc:
            self._layers.observer.degraded("outbox", on=True)
            log.error(
                "outbox cannot be opened: the call goes on and its events wait in memory",
                extra={**self.log_fields, "layer": "outbox", "reason": exc.reason},
            )
        return outbox

    async def _recover(
        self, conversation_id: ConversationId, grant: WriterGrant | None
    ) -> Recovered:
        recovery = Recovery(
            cache=self._layers.hot.cache if self._layers.hot else None,
            backend=self._layers.backend if grant is not None else None,
            outbox_folder=self._layers.placement.folder if self._layers.placement else None,
            clock=self._layers.clock,
            deadline_s=self._settings.load_s,
        )
        recovered = await recovery.recover(
            conversation_id, limit=self._settings.limits.keep, grant=grant
        )
        self._layers.observer.hydrated(recovered.source, recovered.took_ms / 1000)
        return recovered

    async def _bind_later(self, backend: Backend, jobs: Jobs, signals: CallSignals) -> None:
        """The backend was away at the start: ask again until it names the conversation.

        What the conversation already held is read then, so that the agent remembers late rather
        than never.
        """
        said_before = self.recovered.events
        backoff = Backoff(base_s=0.5, cap_s=5.0)
        attempt = 0
        while not jobs.stopping.is_set():
            try:
                grant = await self._introduce(backend)
            except VoiceAgentError:
                attempt += 1
                await jobs.stopped(within_s=backoff.delay_s(attempt))
                continue
            conversation_id = self.writer.conversation_id
            if conversation_id is None:
                return
            if self._outbox is not None:
                self._outbox.bind(conversation_id)
            if self._sharing is not None:
                self._sharing.bound()
            self._layers.observer.degraded("backend", on=False)
            signals.bound(conversation_id)
            known = {event.event_id for event in (*said_before, *self.store.conversation.window)}
            await self._enter(grant, signals)
            late = await self._recover(conversation_id, grant)
            if self.store.conversation.session_number == grant.session_number:  # else cleared since
                signals.history([e for e in late.events if e.event_id not in known])
            return

    async def _flush_waiting(self, jobs: Jobs) -> None:
        while not await jobs.stopped(within_s=FLUSH_WAITING_S):
            if self.store.degraded:
                self.store.flush_waiting()
            elif self._outbox is not None:
                with suppress(OutboxFull):  # the next record says so
                    await self._outbox.look()

    async def _enter(self, grant: WriterGrant, signals: CallSignals) -> None:
        """The backend names the session of a call that began without it.

        Also a clear since then is heard of here; and what was read back without the backend may be
        of a session before.
        """
        if grant.session_number > self.writer.session_number:
            await self._begin_session(grant.session_number, signals)
        else:
            self.store.enter(grant.session_number)

    async def _on_lease(self, state: LeaseState, signals: CallSignals) -> None:
        """A higher fence alone takes nothing away: the live holder of the lease speaks on.

        A higher session number means a clear.
        """
        if state.session_number > self.writer.session_number:
            await self._begin_session(state.session_number, signals)

    async def _look(self) -> None:
        """Send a heartbeat now, and hear whether the context was cleared."""
        state = await self._lease.beat() if self._lease is not None else None
        if state is not None and self._signals is not None:
            await self._on_lease(state, self._signals)

    async def _forget(self) -> None:
        """Drop the window where there is no backend: the session stays 0."""
        if self._signals is not None:
            await self._begin_session(self.writer.session_number, self._signals)

    async def _begin_session(self, number: int, signals: CallSignals) -> None:
        """The context was cleared: drop the window, then take the number.

        In this order, so that the next heartbeat, which reports the number, says the truth. Where
        the model could not be made to forget in time the number stays, and it is tried again.
        """
        self.store.clear(number)
        self.summaries.forget()
        if await signals.cleared(self.asking.is_clearing):
            self.writer.session_number = max(number, self.writer.session_number)
            log.info("context cleared", extra=self.log_fields)
