"""The ledgers alone: what is told, what a handle covers, when everything must be told anew."""

from livekit.agents.llm import ChatContext, ChatMessage, FunctionCallOutput

from voice_agent.aio.backoff import Backoff
from voice_agent.providers.gemini.ladder import Ladder, Loss, Rung
from voice_agent.providers.gemini.memory import Memory


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


def test_a_handle_covers_what_was_told_before_it_and_nothing_later() -> None:
    memory = memory_of("a", "b", told=1)
    memory.issued("h", at=0.0)
    memory.sent(memory.difference().items)
    assert lacking(memory) == []
    memory.connected(resumed=True)
    assert lacking(memory) == ["b"]


def test_what_was_told_amid_a_generation_is_covered_once_another_has_begun() -> None:
    memory = memory_of("a")
    memory.generation_began()
    memory.sent(memory.difference().items)
    memory.issued("h1", at=0.0)
    assert memory.frozen is not None
    assert memory.frozen.known == {}
    memory.generation_began()
    memory.issued("h2", at=0.0)
    assert list(memory.frozen.known) == ["a"]


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
    return Ladder(give_up_s=30.0, steady_s=30.0, backoff=Backoff(base_s=0.1, cap_s=2.0))


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
        one.healthy(float(n), connected_at=float(n))
        one.renewed() if n < 3 else None
    assert rungs == [Rung.RESUME, Rung.FRESH, Rung.SHORT, Rung.FAILED]
