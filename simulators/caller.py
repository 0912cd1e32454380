"""A person in a room: speaks WAV files, listens, types, and says how long everything took.

    python -m simulators.caller --url URL --token TOKEN --say a.wav b.wav [--out heard.wav] [--json]

Latency is measured from what is heard: from the last loud 10 ms handed to WebRTC to the first loud
10 ms of the agent's track.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livekit import rtc

from . import ear
from .hearing import RATE, Heard, Hearing
from .microphone import Microphone, Said

_AGENT_STATE = "lk.agent.state"
_CHAT = "lk.chat"
_TRANSCRIPTION = "lk.transcription"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A line of the transcript that the agent sends; ``mine``: what the caller said."""

    at: float
    identity: str
    text: str
    final: bool
    mine: bool
    segment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an agent said that it is doing."""

    at: float
    identity: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One sentence and what came back."""

    file: str
    understood: str  # the agent's transcript of it
    heard: str
    latency_s: float
    reply_s: float


class Caller:
    """One participant. Use ``async with Caller.join(url, token)``."""

    def __init__(self, room: rtc.Room, microphone: Microphone) -> None:
        self.room = room
        self.hearing = Hearing()
        self.transcripts: list[Transcript] = []
        self.states: list[State] = []
        self.joined_at = 0.0
        self.agent_joined_at: float | None = None
        self.track_at: float | None = None
        self._microphone = microphone
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._mark = 0.0  # replies are looked for after it

    @classmethod
    @contextlib.asynccontextmanager
    async def join(
        cls, url: str, token: str, *, microphone: bool = True, timeout_s: float = 15.0
    ) -> AsyncIterator[Caller]:
        """Join, publish a microphone, and leave at the end of the block.

        Raises:
            TimeoutError: not connected within ``timeout_s`` seconds.
            rtc.ConnectError: refused.
        """
        mic = Microphone()
        room = rtc.Room()
        caller = cls(room, mic)
        caller._watch()
        try:
            async with asyncio.timeout(timeout_s):
                await room.connect(url, token, rtc.RoomOptions(auto_subscribe=True))
            caller._see_who_is_there()
            if microphone:
                caller._start(mic.run())
                options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
                await room.local_participant.publish_track(mic.track, options)
            yield caller
        finally:
            await caller._leave()
            await mic.aclose()

    async def say(self, path: Path) -> Said:
        """Speak a WAV file in real time; return when it is over."""
        self._mark = self._loop.time()
        said = await self._microphone.say(path)
        self._mark = said.ended_at
        return said

    async def interrupt(self, path: Path) -> Said:
        """Speak without forgetting what is being heard: for speaking into a reply."""
        return await self._microphone.say(path)

    async def type(self, text: str) -> None:
        """Send a line of text instead of speaking."""
        self._mark = self._loop.time()
        await self.room.local_participant.send_text(text, topic=_CHAT)

    async def hear(self, *, timeout_s: float = 20.0, quiet_s: float = 0.8) -> Heard:
        """Wait until the agent has spoken since the last ``say``, ``type`` or ``hear``; return it.

        Raises:
            TimeoutError: with what is known, when nothing came or it did not end.
        """
        try:
            heard = await self.hearing.reply(after=self._mark, timeout_s=timeout_s, quiet_s=quiet_s)
        except TimeoutError:
            raise TimeoutError(
                f"no complete reply within {timeout_s} s: {self.summary()}"
            ) from None
        self._mark = heard.ended_at
        return heard

    async def turn(self, path: Path, *, timeout_s: float = 20.0) -> Turn:
        """Speak, hear the reply, and report."""
        said = await self.say(path)
        heard = await self.hear(timeout_s=timeout_s)
        return Turn(
            file=path.name,
            understood=self.understood(after=said.began_at),
            heard=heard.words,
            latency_s=round(heard.began_at - said.ended_at, 3),
            reply_s=round(heard.duration_s, 3),
        )

    def understood(self, *, after: float = 0.0) -> str:
        """Return the final transcripts of the caller's own words since loop time ``after``."""
        lines = {
            t.segment_id: t.text for t in self.transcripts if t.mine and t.final and t.at > after
        }
        return " ".join(lines.values())

    async def state(self, wanted: str, *, timeout_s: float = 20.0) -> State:
        """Wait until an agent is ``wanted`` (listening, thinking, speaking)."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(
                lambda: bool(self.states) and self.states[-1].state == wanted
            )
        return self.states[-1]

    async def transcript(self, fragment: str, *, mine: bool, timeout_s: float = 20.0) -> Transcript:
        """Wait for a final line of the transcript that contains ``fragment``, in any case."""

        def found() -> Transcript | None:
            for line in self.transcripts:
                if line.final and line.mine == mine and fragment.lower() in line.text.lower():
                    return line
            return None

        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        line = found()
        assert line is not None
        return line

    def summary(self) -> str:
        """Say in one line what this caller has seen, for error messages."""
        people = {p.identity: p.kind for p in self.room.remote_participants.values()}
        state = self.states[-1].state if self.states else "unknown"
        lines = [t.text for t in self.transcripts if t.final][-3:]
        return f"participants {people}, agent state {state}, last lines {lines}"

    def _watch(self) -> None:
        self.room.on("track_subscribed", self._on_track)
        self.room.on("participant_connected", self._on_participant)
        self.room.on("participant_attributes_changed", self._on_attributes)
        self.room.register_text_stream_handler(_TRANSCRIPTION, self._on_transcription)

    def _see_who_is_there(self) -> None:
        self.joined_at = self._loop.time()
        for participant in self.room.remote_participants.values():
            self._on_participant(participant)

    def _on_participant(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self.agent_joined_at = self.agent_joined_at or self._loop.time()
            self._on_attributes(dict(participant.attributes), participant)

    def _on_track(
        self,
        track: rtc.Track,
        _: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if is_agent and track.kind == rtc.TrackKind.KIND_AUDIO:
            self.track_at = self.track_at or self._loop.time()
            self._start(self.hearing.listen(track))

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        if state := changed.get(_AGENT_STATE):
            line = State(at=self._loop.time(), identity=participant.identity, state=state)
            self.states.append(line)
            self._start(self._tell())

    def _on_transcription(self, reader: rtc.TextStreamReader, identity: str) -> None:
        self._start(self._read(reader, identity))

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        text = await reader.read_all()
        attributes = reader.info.attributes or {}
        self.transcripts.append(
            Transcript(
                at=self._loop.time(),
                identity=identity,
                text=text,
                final=attributes.get("lk.transcription_final", "true") == "true",
                mine=identity == self.room.local_participant.identity,
                segment_id=attributes.get("lk.segment_id", reader.info.stream_id),
            )
        )
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _leave(self) -> None:
        """Leave in the order that the native side survives: tasks, room, then the source."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self.room.disconnect()
        for failure in ended:
            # a line of transcript that was cut off by the end of the room is no failure
            if isinstance(failure, Exception) and not isinstance(failure, ConnectionError):
                raise failure


async def call(args: argparse.Namespace) -> dict[str, Any]:
    """Make one call: hear the greeting if one comes, say everything, report."""
    async with Caller.join(args.url, args.token) as caller:
        began = asyncio.get_running_loop().time()
        greeting: Heard | None = None
        with contextlib.suppress(TimeoutError):
            greeting = await caller.hear(timeout_s=args.greeting_s)
        turns = []
        for path in args.say:
            turns.append(await caller.turn(path, timeout_s=args.timeout_s))
            if not args.json:
                print(f"caller: {turns[-1].understood}\nagent:  {turns[-1].heard}", flush=True)
        if args.out:
            ear.write_wav(args.out, caller.hearing.recording(), rate=RATE)
        return {
            "greeting": greeting.words if greeting else None,
            "join_to_audio_s": round(greeting.began_at - began, 3) if greeting else None,
            "turns": [asdict(turn) for turn in turns],
        }


def main() -> int:
    """Run the program: 0 when every sentence was answered."""
    parser = argparse.ArgumentParser(description="Call an agent: speak, listen, report.")
    parser.add_argument("--url", required=True, help="LiveKit server, ws://...")
    parser.add_argument("--token", required=True, help="a token that may join the room")
    parser.add_argument("--say", nargs="*", type=Path, default=[], metavar="WAV")
    parser.add_argument("--out", type=Path, help="write what was heard to this WAV file")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--timeout-s", type=float, default=20.0, help="longest wait for a reply")
    parser.add_argument(
        "--greeting-s", type=float, default=10.0, help="longest wait for a greeting"
    )
    args = parser.parse_args()
    try:
        report = asyncio.run(call(args))
    except (TimeoutError, rtc.ConnectError, ValueError, OSError) as failed:
        print(f"caller: {failed or 'the server did not answer in time'}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"join to first audio: {report['join_to_audio_s']} s; greeting: {report['greeting']}")
    for turn in report["turns"]:
        print(turn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
