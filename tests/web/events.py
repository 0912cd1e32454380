"""Events as an agent stores them, for the tests of the conversations page."""

from tests.backend.log_client import Json, event, message

ADA = {"identity": "ada-1", "name": "Ada"}


def nth(ordinal: int) -> Json:
    """One message among nine thoughts."""
    return message(ordinal) if ordinal % 10 == 1 else event(ordinal)


def turn(first: int, turn_id: str, asked: str, answered: str) -> list[Json]:
    delays = {"e2e_s": 0.7, "llm_ttft_s": 0.3}
    of_turn = {"turn_id": turn_id}
    return [
        event(first, "turn_started", initiator="user", speaker=ADA, **of_turn),
        message(first + 1, "user", asked, speaker=ADA, modality="voice", **of_turn),
        message(first + 2, "assistant", answered, interrupted=False, **of_turn),
        event(first + 3, "turn_ended", outcome="completed", delays=delays, **of_turn),
    ]


def spent_turn(ordinal: int, **tokens: int) -> list[Json]:
    """Make a turn that used something up."""
    counts = {"requests": 1, **tokens}
    heard = {"requests": 1, "audio_s": 2.5}
    usage = [
        {"service": "llm", "provider": "openai", "model": "gpt", "counts": counts},
        {"service": "stt", "provider": "local", "model": "moonshine", "counts": heard},
    ]
    of_turn = {"turn_id": f"t{ordinal}"}
    return [
        event(ordinal, "turn_started", initiator="user", **of_turn),
        event(ordinal + 1, "turn_ended", outcome="completed", usage=usage, **of_turn),
    ]


def everything() -> list[Json]:
    ada = {"identity": "ada-1", "name": "Ada", "kind": "standard"}
    covers = {"up_to_event_id": "e1", "message_count": 3}
    return [
        event(1, "participant_joined", participant=ada),
        *turn(2, "t1", "What time is it in Tokyo?", "It is noon in Tokyo."),
        event(6, "tool_call", call_id="call-1", name="current_time", arguments='{"city":"Tokyo"}'),
        event(
            7,
            "tool_result",
            call_id="call-1",
            name="current_time",
            output="It is 12:00.",
            is_error=False,
        ),
        event(8, "summary", text="Ada said her name.", covers=covers),
        event(9, "error", source="LLM", error_type="Timeout", recoverable=True, detail=""),
        event(10, "reconnect", provider="gemini", outcome="resynced",
              detail={"cause": "lost (1006)", "sent_count": 2, "tokens_spared": 900,
                      "took_ms": 312, "summarised": False}),
        event(11, "participant_left", participant=ada, reason="client_initiated"),
    ]
