"""Two ledgers: what the conversation is, and what the service knows of it.

Nothing is queued: what has to be sent is the difference of the two at the moment it can be sent, so
an item can be neither lost nor sent twice, whenever a drop is noticed. A handle stands for what the
service knew when it was issued: a resumed session starts from that copy. Pure: no clock, no I/O.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from livekit.agents.llm import ChatContext, ChatItem, FunctionCall, FunctionCallOutput

from voice_agent.providers.gemini.items import (
    Wanted,
    is_cut_reply,
    is_service_made,
    wanted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amid:
    """Told while a generation ran: what that one says stands before it."""

    generation: int
    """How many generations had begun on the connection, that one included."""
    ahead: bool = False
    """Sent after the request for that generation and before its first sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What a handle stands for."""

    handle: str
    issued_at: float
    known: dict[str, str]
    credits: frozenset[str] = frozenset()
    """Items of the running turn that it covers and that have no fingerprint yet."""
    open_calls: frozenset[str] = frozenset()
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """What the service lacks; or, with a reason, why it must be told everything anew."""

    items: tuple[Wanted, ...] = ()
    rebuild: str | None = None


@dataclass(slots=True)
class Memory:
    """The ledgers of one session."""

    frozen: Frozen | None = None
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    open_calls: set[str] = field(default_factory=set)
    tokens: int = 0
    _want: list[Wanted] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)
    """Key: fingerprint of what the service knows, in its order."""
    _amid: dict[str, Amid] = field(default_factory=dict)
    _sure_from: dict[str, int] = field(default_factory=dict)
    """Key: the generation at whose beginning the service had it for certain."""
    _unrecorded: set[str] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)
    _left_out: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    """Calls whose outcome is there and has not been spoken about yet."""
    _made_here: set[str] = field(default_factory=set)
    _generation: int = 0
    _generating: bool = False
    _resumed: bool = False
    _cleared: bool = False
    """The service must forget all it knows, and what is said meanwhile does not change that."""
    _forgot: bool = False
    """The service has forgotten what it was told: no handle of this session stands for it."""
    revision: int = 0
    """Changes whenever the difference may."""

    # -- the conversation ------------------------------------------------------------------

    @property
    def items(self) -> list[ChatItem]:
        """The conversation as it stands."""
        return [one.item for one in self._want]

    def hand_over(self, context: ChatContext) -> None:
        """Take the application's view of the conversation.

        What the service said last, and the application has not handed over, is not removed by its
        absence: it is merely not recorded yet. An empty view clears everything.
        """
        before = {one.item.id: one for one in self._want}
        new = _distinct(wanted(item, before.get(item.id)) for item in context.items)
        keys = {one.key for one in new if one.key}
        for one in new:
            if isinstance(one.item, FunctionCall):
                self.calls[one.item.call_id] = (one.item.name, one.item.arguments)
        self.unanswered |= {
            one.item.call_id for one in new
            if isinstance(one.item, FunctionCallOutput)
            and one.item.id not in before and one.item.call_id in self._made_here
        }  # fmt: skip
        self._unrecorded -= keys
        self._keys = keys
        if not keys:
            self._unrecorded.clear()
            self._cleared = bool(self._known)
            self.frozen = None
        after: str | None = None
        for one in self._want[self._newest_handed_over(keys) :]:
            if one.key is not None and one.key in self._unrecorded:
                new.insert(_place_after(new, after), one)
            after = one.key or after
        self._want = new
        self._unrecorded &= {one.key for one in new}
        self.revision += 1

    def _newest_handed_over(self, keys: set[str]) -> int:
        """The place of the newest thing the service said that is among ``keys``."""
        return next(
            (n for n in range(len(self._want) - 1, -1, -1)
             if (key := self._want[n].key) in keys and key is not None and is_service_made(key)),
            0,
        )  # fmt: skip

    def came(self, item: ChatItem, *, connected: bool, spoken: bool = False) -> None:
        """Take what the service itself said or heard: it stands before what it was not yet told.

        ``spoken``: the turn began with the caller's words, and not with a request.
        """
        one = wanted(item)
        if one.key is None:
            return
        place = len(self._want)
        while place and self._is_untold(self._want[place - 1], spoken):
            place -= 1
        self._want.insert(place, one)
        self._unrecorded.add(one.key)
        self.revision += 1
        if connected:
            self._knows_of(one, spoken)
        if self.covers(one.key) and self.frozen is not None:
            known = {**self.frozen.known, one.key: one.fingerprint}
            self.frozen = replace(self.frozen, known=known)

    def covers(self, key: str) -> bool:
        """Whether the newest handle covers an item of the running turn."""
        return self.frozen is not None and key in self.frozen.credits

    def _knows_of(self, one: Wanted, spoken: bool) -> None:
        """The service has said it: before what it was told meanwhile, which interrupted it."""
        assert one.key is not None
        later = [key for key in self._amid if self._is_amid(key, spoken)]
        self._known[one.key] = one.fingerprint
        for key in later:
            self._known[key] = self._known.pop(key)

    def _is_amid(self, key: str, spoken: bool) -> bool:
        amid = self._amid.get(key)
        return (
            amid is not None and amid.generation == self._generation and not (amid.ahead and spoken)
        )

    def _is_untold(self, one: Wanted, spoken: bool) -> bool:
        """Whether it is the application's own, and stands behind what the service says now."""
        if one.key is None or is_service_made(one.key) or one.key in self._left_out:
            return False
        return one.key not in self._known or self._is_amid(one.key, spoken)

    # -- the service -----------------------------------------------------------------------

    def connected(self, *, resumed: bool) -> None:
        """A session begins: from the handle's copy, or from nothing."""
        start = self.frozen if resumed else None
        self._known = dict(start.known) if start else {}
        self._amid.clear()
        self._sure_from.clear()
        self.open_calls = set(start.open_calls) if start else set()
        self._left_out.clear()
        self._generation, self._generating, self._resumed = 0, False, resumed
        self._cleared = self._forgot = False
        self.revision += 1
        if not resumed:
            self.frozen = None
            self.tokens = 0

    def difference(self) -> Difference:
        """Compare the two. What was cut off the front (a trimmed window) is no difference."""
        if self._cleared:
            return Difference(rebuild="cleared")
        said = [one for one in self._want if one.key and one.key not in self._left_out]
        if len(said) >= len(self._known) and all(map(_is_same, said, self._known.items())):
            return Difference(tuple(said[len(self._known) :]))
        place = {key: n for n, key in enumerate(self._known)}
        survivors = [n for n, one in enumerate(said) if one.key in place]
        first = survivors[0] if survivors else len(said)
        trimmed = self._trimmed(said, place)
        if trimmed:
            # a summary in front of a trimmed window is for the next fresh session
            said = [one for n, one in enumerate(said) if n >= first or not one.is_system]
        new: list[Wanted] = []
        last = -1
        for one in said:
            assert one.key is not None
            at = place.get(one.key)
            if at is None:
                new.append(one)
                continue
            if reason := self._changed(one, at < last, inserted=bool(new)):
                return Difference(rebuild=reason)
            last = max(last, at)
        here = {one.key for one in said}
        if any(key not in here for key in self._known if key not in trimmed):
            return Difference(rebuild="removed")
        return Difference(tuple(new))

    def _trimmed(self, said: Sequence[Wanted], place: dict[str, int]) -> set[str]:
        """Known items in front of the first that is still wanted; none, if none is."""
        here = {one.key for one in said}
        gone: set[str] = set()
        for key in place:
            if key in here:
                return gone
            gone.add(key)
        return set()

    def _changed(self, one: Wanted, moved: bool, *, inserted: bool) -> str | None:
        assert one.key is not None
        if inserted:
            return "inserted"
        if self._known[one.key] != one.fingerprint and not is_cut_reply(one):
            return "edited"
        # of its own words the service knows the order better than the application's clock
        return "moved" if moved and not is_service_made(one.key) else None

    def sent(self, items: Iterable[Wanted], *, expecting: bool = False) -> None:
        """The service was told of these; ``expecting``: a generation is on its way already."""
        ahead = expecting and not self._generating
        for one in items:
            assert one.key is not None
            self._known[one.key] = one.fingerprint
            self._sure_from[one.key] = self._generation + 1 + ahead
            if ahead or self._generating:
                self._amid[one.key] = Amid(generation=self._generation + ahead, ahead=ahead)
            if isinstance(one.item, FunctionCallOutput):
                self.open_calls.discard(one.item.call_id)
        self.revision += 1

    def leave_out(self, items: Iterable[Wanted]) -> None:
        """A fresh session is not told of these: they do not fit."""
        self._left_out.update(one.key for one in items if one.key)
        self.revision += 1

    def called(self, call_id: str, name: str, arguments: str) -> None:
        """The service made a tool call and holds it open."""
        self.calls[call_id] = (name, arguments)
        self.open_calls.add(call_id)
        self._made_here.add(call_id)

    def cancelled(self, call_ids: Iterable[str]) -> None:
        """The service no longer waits for these: the caller has moved on. What they bring is told
        in words, and asks for nothing."""
        for call_id in call_ids:
            self.open_calls.discard(call_id)
            self._made_here.discard(call_id)
            self.unanswered.discard(call_id)

    def generation_began(self) -> None:
        """The service began to hear or to speak."""
        self._generation += 1
        self._generating = True
        self.unanswered -= {call for call in self.unanswered if f"out:{call}" in self._known}

    def interrupted(self) -> None:
        """It was cut short, perhaps by what was told when its first sign was on its way to us."""
        for key, sure_from in self._sure_from.items():
            if sure_from == self._generation:
                self._sure_from[key] += 1
        if not self._generating:  # the awaited one, before its first sign: what was told stopped it
            ahead = [key for key, one in self._amid.items() if one.generation > self._generation]
            for key in ahead:
                del self._amid[key]

    def generation_ended(self) -> None:
        """It came to an end."""
        self._generating = False

    @property
    def has_running_calls(self) -> bool:
        """Whether a tool runs whose outcome this connection waits for."""
        return any(f"out:{call}" not in self._keys for call in self.open_calls)

    @property
    def has_generated(self) -> bool:
        """Whether the service's session has had a turn of the model."""
        return self._generation > 0 or self._resumed

    @property
    def known_count(self) -> int:
        """How many items the service knows."""
        return len(self._known)

    @property
    def is_generating(self) -> bool:
        """Whether it hears or speaks at the moment."""
        return self._generating

    # -- handles ---------------------------------------------------------------------------

    def issued(self, handle: str, *, at: float, credits: Iterable[str] = ()) -> bool:
        """A handle arrived: take it, if it is certain what it stands for.

        Nothing acknowledges what was sent. Whether a handle covers it is certain once a generation
        has begun that was not on its way already. Until then the handle before it is the better
        one: what it lacks is known. ``credits`` are items of the running turn that it covers,
        though they are not complete here.
        """
        if (
            self._cleared
            or self._forgot
            or any(n > self._generation for n in self._sure_from.values())
        ):
            return False
        self._sure_from.clear()
        self.frozen = Frozen(
            handle=handle, issued_at=at, known=dict(self._known), credits=frozenset(credits),
            open_calls=frozenset(self.open_calls), tokens=self.tokens,
        )  # fmt: skip
        return True

    def give_up_handle(self) -> None:
        """The service refuses it, or it is too old: never use it again."""
        self.frozen = None

    def forgot(self) -> None:
        """The session that was resumed is empty: its handles, old and new, are worth nothing."""
        self._forgot = True
        self.give_up_handle()


def _distinct(items: Iterable[Wanted]) -> list[Wanted]:
    """Give items that share a key (a model that numbers its calls anew) keys of their own."""
    taken: set[str | None] = set()
    found: list[Wanted] = []
    for one in items:
        key, n = one.key, 2
        while key is not None and key in taken:
            key, n = f"{one.key}#{n}", n + 1
        taken.add(key)
        found.append(one if key == one.key else replace(one, key=key))
    return found


def _is_same(one: Wanted, known: tuple[str, str]) -> bool:
    return one.key == known[0] and (one.fingerprint == known[1] or is_cut_reply(one))


def _place_after(items: Sequence[Wanted], key: str | None) -> int:
    if key is None:
        return 0
    return next((n + 1 for n, one in enumerate(items) if one.key == key), len(items))
