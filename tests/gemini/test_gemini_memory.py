"""The ledgers alone: what is told, what a handle covers, when everything must be told anew."""

from hypothesis import given
from hypothesis import strategies as st
from livekit.agents.llm import ChatContext, ChatMessage, FunctionCallOutput

from voice_agent.aio.backoff import Backoff
from voice_agent.providers.gemini.ladder import Ladder, Loss, Rung
from voice_agent.providers.gemini.memory import Memory
from voice_agent.providers.gemini.options import Limits


def message(item_id: str, text: str | None = None, role: str = "user") -> ChatMessage:
    return ChatMessage(id=item_id, role=role, content=[text or item_id])  # type: ignore[arg-type]


def memory_of(*ids: str, told: int = 0) -> Memory:
    memory = Memory()
    memory.connected(resumed=False)
    memory.hand_over(ChatContext([message(one) for one in ids]))
    memory.sent(memory.difference().items[:told])
    return memory


def lacking(memory: Memory) -> list[str | None]:
    return [one.key for one in memory.difference().items]


def test_only_what_was_not_told_is_lacking() -> None:
    assert lacking(memory_of("a", "b", "c", told=2)) == ["c"]


def spoken_turn(memory: Memory) -> None:
    memory.generation_began()
    memory.generation_ended()


def test_a_handle_covers_what_was_told_before_it_and_nothing_later() -> None:
    memory = memory_of("a", "b", told=1)
    spoken_turn(memory)
    assert memory.issued("h", at=0.0)
    memory.sent(memory.difference().items)
    assert lacking(memory) == []
    memory.connected(resumed=True)
    assert lacking(memory) == ["b"]


def test_a_handle_of_which_nobody_knows_what_it_covers_leaves_the_one_before() -> None:
    """S2.7, S2.8: it was on its way when an item was sent, or it follows that item."""
    memory = memory_of("a", "b", told=1)
    spoken_turn(memory)
    assert memory.issued("h1", at=0.0)
    memory.sent(memory.difference().items)
    assert not memory.issued("h2", at=0.0)
    memory.connected(resumed=True)
    assert memory.frozen is not None
    assert memory.frozen.handle == "h1"
    assert lacking(memory) == ["b"]


def test_a_generation_that_was_interrupted_may_have_begun_before_an_item_arrived() -> None:
    memory = memory_of("a", told=1)
    memory.generation_began()
    memory.interrupted()
    memory.generation_ended()
    assert not memory.issued("h1", at=0.0)
    spoken_turn(memory)
    assert memory.issued("h2", at=0.0)
    memory.connected(resumed=True)
    assert lacking(memory) == []


def test_what_was_told_amid_a_generation_is_covered_once_another_has_begun() -> None:
    memory = memory_of("a")
    memory.generation_began()
    memory.sent(memory.difference().items)
    memory.generation_ended()
    assert not memory.issued("h1", at=0.0)
    spoken_turn(memory)
    assert memory.issued("h2", at=0.0)
    assert memory.frozen is not None
    assert list(memory.frozen.known) == ["a"]


def test_what_was_told_ahead_of_an_awaited_reply_is_covered_by_the_reply_after_it() -> None:
    memory = memory_of("a")
    memory.sent(memory.difference().items, expecting=True)
    spoken_turn(memory)
    assert not memory.issued("h1", at=0.0)
    spoken_turn(memory)
    assert memory.issued("h2", at=0.0)


def test_the_words_of_a_running_turn_are_credited_to_the_handle_that_covers_them() -> None:
    memory = memory_of()
    memory.generation_began()
    memory.issued("h", at=0.0, credits=["GI_1"])
    memory.came(message("GI_1"), connected=False)
    memory.came(message("GR_1", role="assistant"), connected=False)
    memory.connected(resumed=True)
    assert lacking(memory) == ["GR_1"]


def test_an_outcome_that_is_there_does_not_hold_a_rebuild_back() -> None:
    memory = memory_of("a", "b", told=2)
    memory.called("c1", "look_up", "{}")
    assert memory.has_running_calls
    outcome = FunctionCallOutput(call_id="c1", name="look_up", output="x", is_error=False)
    memory.hand_over(ChatContext([message("a", "edited"), message("b"), outcome]))
    assert memory.difference().rebuild == "edited"
    assert not memory.has_running_calls


def test_a_newest_reply_that_is_not_recorded_yet_is_not_removed() -> None:
    memory = memory_of("a", told=1)
    memory.came(message("GR_1", role="assistant"), connected=True)
    memory.hand_over(ChatContext([message("a"), message("b")]))
    assert [item.id for item in memory.items] == ["a", "GR_1", "b"]
    assert lacking(memory) == ["b"]


def test_spaces_and_an_interruption_make_no_edit() -> None:
    memory = memory_of()
    memory.came(message("GR_1", "one two  three", role="assistant"), connected=True)
    same = message("GR_1", "one two three ", role="assistant")
    memory.hand_over(ChatContext([same]))
    assert memory.difference().rebuild is None
    cut = ChatMessage(id="GR_1", role="assistant", content=["one"], interrupted=True)
    memory.hand_over(ChatContext([cut]))
    assert memory.difference().rebuild is None


def ladder() -> Ladder:
    return Ladder(
        give_up_s=30.0, settled_s=2.0, steady_s=30.0, backoff=Backoff(base_s=0.1, cap_s=2.0)
    )


def test_each_refusal_goes_down_a_rung_and_the_last_is_an_error() -> None:
    one = ladder()
    rungs = [one.lost(Loss(rung=rung, code=1007), 1.0).rung for rung in list(Rung)[:3]]
    assert rungs == [Rung.FRESH, Rung.SHORT, Rung.FAILED]


def test_a_network_that_is_away_keeps_the_rung_until_the_budget_is_gone() -> None:
    one = ladder()
    now, tries = 0.0, 0
    while (step := one.lost(Loss(rung=Rung.RESUME), now)).rung is Rung.RESUME:
        now, tries = now + step.delay_s + 0.01, tries + 1
    assert step.rung is Rung.FAILED
    assert now <= 30.0
    assert tries > 15


def test_a_context_that_is_full_again_and_again_ends() -> None:
    one = ladder()
    rungs = []
    for n in range(4):
        rungs.append(one.lost(Loss(rung=Rung.RESUME, code=1007, was_healthy=True), float(n)).rung)
        one.lived(1.0)
        one.renewed() if n < 3 else None
    assert rungs == [Rung.RESUME, Rung.FRESH, Rung.SHORT, Rung.FAILED]


def test_a_service_that_accepts_and_closes_again_and_again_is_given_up_in_time() -> None:
    """S2.10: one message after each setup does not make it a loop."""
    one = ladder()
    now, tries, rungs = 0.0, 0, set()
    while True:
        one.lived(0.2)
        step = one.lost(Loss(rung=one.rung, code=1011, was_healthy=True), now)
        if step.rung is Rung.FAILED:
            break
        rungs.add(step.rung)
        now, tries = now + step.delay_s + 0.5, tries + 1
    assert now <= 30.5
    assert tries > 5
    assert rungs == {Rung.RESUME, Rung.FRESH}


def test_the_first_losses_in_a_row_are_renewed_at_once_and_later_ones_wait() -> None:
    one = ladder()
    delays = [one.lost(Loss(rung=Rung.RESUME, was_healthy=True), 0.0).delay_s for _ in range(9)]
    assert delays[:3] == [0.0] * 3
    assert max(delays[3:]) > 0
    one.lived(3.0)
    assert one.lost(Loss(rung=Rung.RESUME, was_healthy=True), 9.0).delay_s == 0.0


def test_a_loss_after_a_long_silence_has_the_whole_budget() -> None:
    """A quiet call delivers nothing for minutes: that is no loss."""
    one = ladder()
    one.away(0.0)
    one.lived(600.0)
    assert one.lost(Loss(rung=Rung.RESUME, was_healthy=True), 600.0).rung is Rung.RESUME
    assert one.left_s(600.0) == 30.0


def test_a_call_that_the_service_cancelled_is_told_in_words_and_asks_for_nothing() -> None:
    memory = memory_of("a", told=1)
    memory.called("c1", "look_up", "{}")
    memory.cancelled(["c1"])
    outcome = FunctionCallOutput(call_id="c1", name="look_up", output="x", is_error=False)
    memory.hand_over(ChatContext([message("a"), outcome]))
    assert not memory.open_calls
    assert not memory.unanswered
    assert lacking(memory) == ["out:c1"]


def test_a_conversation_that_was_cleared_is_told_anew_whatever_is_said_meanwhile() -> None:
    """What came since stands behind what is gone: it would look like a trimmed window."""
    memory = memory_of("a", "b", told=2)
    spoken_turn(memory)
    assert memory.issued("h1", at=0.0)
    memory.hand_over(ChatContext.empty())
    assert memory.frozen is None
    spoken_turn(memory)
    memory.came(message("GI_1"), connected=True)
    assert not memory.issued("h2", at=0.0)
    assert memory.difference().rebuild == "cleared"
    memory.connected(resumed=False)
    assert lacking(memory) == ["GI_1"]


def test_a_handle_of_a_session_that_forgot_is_never_taken() -> None:
    """It stands for nothing: a connection lost before the switch would resume it in silence."""
    memory = memory_of("a", told=1)
    spoken_turn(memory)
    assert memory.issued("h1", at=0.0)
    memory.forgot()
    assert memory.frozen is None
    spoken_turn(memory)
    assert not memory.issued("h2", at=0.0)
    memory.connected(resumed=False)
    assert lacking(memory) == ["a"]
    memory.sent(memory.difference().items)
    spoken_turn(memory)
    assert memory.issued("h3", at=0.0)


def test_outcomes_that_share_a_call_id_are_told_and_are_no_edit() -> None:
    """Some models number their calls anew in each turn: reseeding for that would never end."""
    memory = memory_of()
    first, second = (
        FunctionCallOutput(call_id="call_0", name="look_up", output=output, is_error=False)
        for output in ("x", "y")
    )
    memory.hand_over(ChatContext([message("a"), first, message("b"), second]))
    memory.sent(memory.difference().items)
    assert memory.difference().rebuild is None
    memory.hand_over(ChatContext([message("a"), first, message("b"), second, message("c")]))
    assert lacking(memory) == ["c"]


def test_what_stopped_an_awaited_reply_before_its_first_sign_stands_before_the_next_one() -> None:
    memory = memory_of("a")
    memory.sent(memory.difference().items, expecting=True)
    memory.interrupted()
    memory.generation_began()
    memory.came(message("GR_1", role="assistant"), connected=True)
    assert [item.id for item in memory.items] == ["a", "GR_1"]


LOSSES = st.tuples(
    st.sampled_from([None, 403, 1006, 1007, 1008, 1011, 503]),
    st.booleans(),
    st.booleans(),
    st.floats(0.0, 2.0, exclude_max=True),
)


@given(losses=st.lists(LOSSES, min_size=1, max_size=8))
def test_whatever_a_service_does_the_ladder_ends_within_30_s(
    losses: list[tuple[int | None, bool, bool, float]],
) -> None:
    """By a clock of the test's own: connections of a moment, refusals, silence, in any order."""
    limits = Limits()
    one = Ladder(
        give_up_s=limits.give_up_s, settled_s=limits.settled_s, steady_s=limits.steady_s,
        backoff=Backoff(base_s=limits.backoff_s, cap_s=limits.backoff_cap_s),
    )  # fmt: skip
    now, n = 0.0, 0
    one.away(now)
    while True:
        code, healthy, silent, lived_s = losses[n % len(losses)]
        most_s = min(limits.set_up_s, max(one.left_s(now), 0.1))  # as the session waits
        now, n = now + (lived_s if healthy else most_s if silent else 0.05), n + 1
        if healthy:
            one.lived(lived_s)
        loss = Loss(rung=one.rung, code=code, was_healthy=healthy, silent=silent)
        step = one.lost(loss, now)
        if step.rung is Rung.FAILED:
            break
        now += step.delay_s
    assert now <= limits.give_up_s + limits.settled_s
