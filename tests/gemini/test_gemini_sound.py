"""Sound between the call and its connections: what nobody heard is kept, all of it is bounded."""

from google.genai import types

from simulators.gemini.server import GeminiServer
from tests.gemini.talking import both_remember, serving, talking
from tests.support.waiting import wait_for
from voice_agent.providers.gemini.outgoing import Outgoing

CHUNKS_A_SECOND = 20


def chunk(n: int) -> types.LiveClientRealtimeInput:
    return types.LiveClientRealtimeInput(audio=types.Blob(data=b"%d" % n, mime_type="audio/pcm"))


def popped(outgoing: Outgoing, *, now: float = 0.0) -> list[int]:
    found: list[int] = []
    while (event := outgoing.pop(now)) is not None:
        if event.audio is not None:
            found.append(int(event.audio.data or b""))
    return found


def test_a_long_utterance_is_sent_again_whole_however_much_is_spoken_meanwhile() -> None:
    outgoing = Outgoing(away_audio_s=10.0)
    long, more = 15 * CHUNKS_A_SECOND, 12 * CHUNKS_A_SECOND
    for n in range(long):
        outgoing.push(chunk(n))
        outgoing.pop(float(n) / CHUNKS_A_SECOND)
    outgoing.send_again(0.0)
    for n in range(long, long + more):
        outgoing.push(chunk(n))
    dropped = more - 10 * CHUNKS_A_SECOND
    assert outgoing.dropped_chunks == dropped
    assert popped(outgoing) == [*range(long), *range(long + dropped, long + more)]


def test_sound_that_is_lost_twice_keeps_its_order() -> None:
    outgoing = Outgoing(away_audio_s=10.0)
    for n in range(6):
        outgoing.push(chunk(n))
    for _ in range(4):
        outgoing.pop(1.0)
    outgoing.send_again(0.0)
    for _ in range(2):
        outgoing.pop(2.0)
    outgoing.send_again(0.0)
    assert popped(outgoing) == [*range(6)]


def test_what_was_acted_on_is_not_sent_again_and_cannot_be_heard_again() -> None:
    outgoing = Outgoing(away_audio_s=10.0)
    for n in range(4):
        outgoing.push(chunk(n))
        outgoing.pop(float(n))
    outgoing.acted_on(1.0)
    assert not outgoing.reaches_back_to(0.0, began_at=0.5)
    assert outgoing.reaches_back_to(0.0, began_at=1.5)
    outgoing.send_again(0.0)
    assert popped(outgoing) == [2, 3]


def test_marks_and_sound_that_wait_are_bounded() -> None:
    outgoing = Outgoing(away_audio_s=1.0)
    for n in range(100):
        outgoing.push(chunk(n))
        outgoing.push(types.LiveClientRealtimeInput(activity_start=types.ActivityStart()))
    for _ in range(16):
        event = outgoing.pop(0.0)
        assert event is not None
        assert event.activity_start is not None
    assert popped(outgoing) == [*range(80, 100)]


def test_the_end_of_an_activity_comes_behind_its_sound_and_before_a_request() -> None:
    outgoing = Outgoing(away_audio_s=10.0)
    outgoing.push(types.LiveClientRealtimeInput(activity_start=types.ActivityStart()))
    for n in range(3):
        outgoing.push(chunk(n))
    outgoing.push(types.LiveClientRealtimeInput(activity_end=types.ActivityEnd()))
    kinds = []
    while outgoing.ends_activity:
        event = outgoing.pop(0.0)
        assert event is not None
        kinds.append(next(iter(event.model_dump(exclude_none=True))))
    assert kinds == ["activity_start", "audio", "audio", "audio", "activity_end"]
    assert outgoing.pop(0.0) is None


async def test_who_speaks_by_hand_is_still_heard_to_speak_on_the_next_connection() -> None:
    """Manual activity detection: begun before the loss, ended and asked for after it."""
    by_hand = types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(disabled=True)
    )
    async with serving() as server, talking(server) as talk:
        talk.session._opts.realtime_input_config = by_hand
        await both_remember(server, talk)
        talk.session.start_user_activity()
        await wait_for(lambda: marks(server) == ["activityStart"])
        server.now.cut()
        await wait_for(lambda: server.is_connected and marks(server) == ["activityStart"])
        await talk.session.generate_reply()
        assert kinds_received(server) == ["activityStart", "activityEnd", "client_content"]


def kinds_received(server: GeminiServer) -> list[str]:
    """What came on the newest connection."""
    return [
        next(iter(one["realtime_input"])) if "realtime_input" in one else next(iter(one))
        for one in server.now.received
    ]


def marks(server: GeminiServer) -> list[str]:
    """The marks of activity among it."""
    found = kinds_received(server)
    return [one for one in found if one.startswith("activity")]
