"""One WebSocket of the stand-in: BidiGenerateContent as google-genai speaks it."""

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from simulators.gemini import spoken
from simulators.gemini.conversation import Conversation
from simulators.gemini.mind import Say, Use

if TYPE_CHECKING:
    from simulators.gemini.server import GeminiServer

OUTPUT_BYTES_PER_WORD = 2 * 24_000 // 50
_REPLY_REQUEST = "."


class Gone(Exception):
    """This connection was cut or closed."""


def field_of(message: Mapping[str, Any], name: str) -> Any:
    """Read a field that is written ``like_this`` or ``likeThis``: the client sends both."""
    first, *rest = name.split("_")
    return message.get(name, message.get(first + "".join(part.title() for part in rest)))


def text_of(content: Mapping[str, Any] | None) -> str:
    """The words of a content."""
    parts = (content or {}).get("parts") or []
    return " ".join(str(part["text"]) for part in parts if part.get("text"))


class Connection:
    """A session's connection, from setup to the end."""

    def __init__(self, server: "GeminiServer", socket: ServerConnection) -> None:
        self._server = server
        self._socket = socket
        self._behaviour = server.behaviour
        self._replying: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._going: asyncio.TimerHandle | None = None
        self._saying: asyncio.Task[None] | None = None
        self._utterance: list[str] = []
        self._mute = False
        self.conversation = Conversation()
        self.session_id = secrets.token_hex(8)
        self.setup: Mapping[str, Any] = {}
        self.resumed = False
        self.is_open = False
        self.received: list[dict[str, Any]] = []
        self.received_bytes = 0

    # -- life ------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until either side goes."""
        try:
            if not await self._set_up():
                return
            async for message in self._messages():
                await self._take(message)
        except (Gone, ConnectionClosed):
            pass
        finally:
            self.is_open = False
            if self._saying is not None:
                await asyncio.wait({self._saying})
            if self._going is not None:
                self._going.cancel()
            await self._stop_ending()
            await self._stop_replying()

    async def _set_up(self) -> bool:
        raw = await self._socket.recv()
        self.setup = json.loads(raw)["setup"]
        handle = (field_of(self.setup, "session_resumption") or {}).get("handle")
        self._server.set_ups.append(self.setup)
        if self._behaviour.silent_setups > 0:
            self._behaviour.silent_setups -= 1
            await self._socket.wait_closed()
            return False
        await asyncio.sleep(self._behaviour.setup_s)
        if not await self._restore(handle):
            return False
        self.is_open = True
        await self._send({"setupComplete": {}})
        refusal = self._behaviour.refusal(with_handle=bool(handle), at="after_setup")
        if refusal is not None:
            await self._socket.close(refusal.code, refusal.reason)
            return False
        if self._behaviour.closes_after_setup is not None:
            await self._send({"sessionResumptionUpdate": {"resumable": False}})
            await self._socket.close(self._behaviour.closes_after_setup, "internal")
            return False
        if self._behaviour.goes_away_at_once:
            await self.go_away(0.0)
        return True

    async def _restore(self, handle: str | None) -> bool:
        refusal = self._behaviour.refusal(with_handle=bool(handle), at="before_setup")
        if refusal is not None:
            await self._socket.close(refusal.code, refusal.reason)
            return False
        if not handle:
            return True
        frozen = self._server.frozen.get(handle)
        if frozen is None or self._behaviour.expired:
            code, text = (1008, "Requested entity was not found.") if frozen is None else (
                1007, "Request contains an invalid argument.")  # fmt: skip
            await self._socket.close(code, text)
            return False
        if self._server.is_in_use(frozen.session_id):
            await self._socket.close(1011, "The service is currently unavailable.")
            return False
        self.resumed = True
        self.session_id = frozen.session_id
        self.conversation = frozen.conversation.copy()
        if self._behaviour.forgets > 0:
            self._behaviour.forgets -= 1
            self.conversation = Conversation()
        if self._behaviour.mute_after_resume > 0:
            self._behaviour.mute_after_resume -= 1
            self._mute = True
        return True

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        async for raw in self._socket:
            message = json.loads(raw)
            if self._is_silence(message):
                continue
            self.received_bytes += len(raw)
            self.received.append(message)
            lost = await self._server.boundary(self, "in", message)
            if not lost:
                yield message
            if self._server.is_cut(self):
                raise Gone

    def _is_silence(self, message: Mapping[str, Any]) -> bool:
        audio: Any = (message.get("realtime_input") or {}).get("audio")
        return bool(audio) and not self._server.hears and not spoken.heard(_pcm(audio))

    async def _send(self, message: dict[str, Any]) -> None:
        lost = await self._server.boundary(self, "out", message)
        if not lost:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(json.dumps(message).encode())
        if self._server.is_cut(self):
            raise Gone

    def cut(self) -> None:
        """End it without a word, as a network does."""
        self.is_open = False
        self._socket.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """End it with a word, as the service does."""
        self.is_open = False
        await self._socket.close(code, reason)

    async def go_away(self, time_left_s: float) -> None:
        """Say that it will be closed, and do so."""
        message = {"goAway": {"timeLeft": f"{time_left_s:.3f}s"}}
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps(message).encode())
        self._going = asyncio.get_running_loop().call_later(time_left_s, self.cut)

    def will_go(self, time_left_s: float) -> None:
        """Do so between two messages."""
        self._saying = asyncio.create_task(self.go_away(time_left_s))

    @property
    def is_idle(self) -> bool:
        """Whether nobody speaks and no tool is waited for."""
        replying = self._replying is not None and not self._replying.done()
        return not replying and not self._utterance and not self.conversation.open_calls

    # -- what comes in ---------------------------------------------------------------------

    async def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"client_content": content}:
                await self._take_content(content)
            case {"tool_response": response}:
                await self._take_tools(field_of(response, "function_responses") or [])
            case {"realtime_input": {"audio": audio}}:
                await self._take_audio(audio)
            case {"realtime_input": {"text": text}}:
                await self._interrupt()
                self.conversation.told("user", text)
                self._reply()
            case {"contextUpdate": update} | {"context_update": update}:
                self.setup = {**self.setup, **update}
            case _:
                pass

    async def _take_content(self, content: Mapping[str, Any]) -> None:
        if self._behaviour.content_at_first_only and self.conversation.model_turns:
            await self.close(1007, "Request contains an invalid argument.")
            raise Gone
        await self._interrupt()
        turns = content.get("turns") or []
        asks = bool(field_of(content, "turn_complete"))
        if not {turn.get("role") for turn in turns} <= {"user", "model"}:
            await self.close(1007, "Request contains an invalid argument.")
            raise Gone
        only_asks = asks and bool(turns) and _only_asks(text_of(turns[-1]))
        for turn in turns:
            self.conversation.told(turn["role"], text_of(turn), trigger=only_asks)
        await self._check_size()
        if asks and not self._takes_history():
            self._reply()
        elif turns and self._behaviour.handle_when_told:
            await self._hand_out()

    def _takes_history(self) -> bool:
        """Whether this content is the history that the setup announced: it asks for nothing."""
        announced = field_of(self.setup, "history_config") or {}
        history = bool(field_of(announced, "initial_history_in_client_content"))
        first = sum("client_content" in one for one in self.received) == 1
        return history and first

    async def _take_tools(self, responses: list[Mapping[str, Any]]) -> None:
        known = False
        for one in responses:
            response = one.get("response") or {}
            output = str(response.get("output", response.get("error", "")))
            known |= self.conversation.returned(str(one.get("id")), output)
        if known and not self.conversation.open_calls:
            self._reply()

    async def _take_audio(self, audio: Mapping[str, Any]) -> None:
        if self._server.hears:
            await self._server.listen(self, _pcm(audio))
            return
        for word, is_last in spoken.heard(_pcm(audio)):
            await self.hear(word, is_last=is_last)

    async def hear(self, words: str, *, is_last: bool) -> None:
        """Take words that the caller said."""
        if self._ending is not None and not self._ending.done():  # the next utterance
            await self._stop_ending()
            await self._end_utterance()
        if not self._utterance:
            await self._interrupt()
            if self._behaviour.cancels_calls and (ids := self.conversation.cancelled()):
                await self._send({"toolCallCancellation": {"ids": ids}})
        self._utterance.append(words)
        await self._send({"serverContent": {"inputTranscription": {"text": f" {words}"}}})
        if is_last:
            if self._behaviour.endpoint_s:  # what comes meanwhile is taken meanwhile
                self._ending = asyncio.create_task(self._end_utterance_later())
            else:
                await self._end_utterance()

    async def _end_utterance_later(self) -> None:
        await asyncio.sleep(self._behaviour.endpoint_s)
        with contextlib.suppress(Gone, ConnectionClosed):
            await self._end_utterance()

    async def _stop_ending(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait({self._ending})

    async def _end_utterance(self) -> None:
        self.conversation.told("user", " ".join(self._utterance))
        self._utterance.clear()
        if self._behaviour.handle_after_transcript:
            await self._hand_out()
        self._reply()

    # -- what goes out ---------------------------------------------------------------------

    def _reply(self) -> None:
        if self._mute:
            return
        self._replying = asyncio.create_task(self._contained_reply())

    async def _contained_reply(self) -> None:
        with contextlib.suppress(Gone, ConnectionClosed):
            await self._check_size()
            step = self._server.mind.next(self.conversation, self._tools())
            if self._behaviour.handles:
                await self._send({"sessionResumptionUpdate": {"resumable": False}})
            match step:
                case Use(name, arguments):
                    await self._call(name, arguments)
                case Say(text):
                    await self._say(text)

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> None:
        call_id = f"call-{secrets.token_hex(4)}"
        self.conversation.called(call_id, name, arguments)
        self.conversation.model_turns += 1
        await self._send(
            {"toolCall": {"functionCalls": [{"id": call_id, "name": name, "args": arguments}]}}
        )

    async def _say(self, text: str) -> None:
        self.conversation.model_turns += 1
        said: list[str] = []
        try:
            async for word, pcm in self._server.voice(text):
                await asyncio.sleep(self._behaviour.piece_s)
                await self._server.may_speak.wait()
                said.append(word)
                await self._send(_piece(word, pcm, first=len(said) == 1))
        finally:
            self.conversation.told("model", " ".join(said))
        await self._send({"serverContent": {"generationComplete": True}})
        if self._behaviour.handles and self._behaviour.handle_before_turn_complete:
            await self._hand_out()
        await self._send({"serverContent": {"turnComplete": True}, "usageMetadata": self._usage()})
        if self._behaviour.handles and not self._behaviour.handle_before_turn_complete:
            await self._hand_out()

    async def _hand_out(self) -> None:
        handle = self._server.freeze(self)
        await self._send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    async def _interrupt(self) -> None:
        if self._replying is None or self._replying.done():
            return
        await self._stop_replying()
        await self._send({"serverContent": {"interrupted": True}})
        await self._send({"serverContent": {"turnComplete": True}, "usageMetadata": self._usage()})
        if self._behaviour.handles:
            await self._hand_out()

    async def _stop_replying(self) -> None:
        if self._replying is not None:
            self._replying.cancel()
            await asyncio.wait({self._replying})

    async def _check_size(self) -> None:
        most = self._behaviour.most_tokens
        if most is not None and self.conversation.tokens > most:
            await self.close(1007, "Request contains an invalid argument.")
            raise Gone

    def _usage(self) -> dict[str, int]:
        tokens = self.conversation.tokens
        return {"promptTokenCount": tokens, "responseTokenCount": 4, "totalTokenCount": tokens + 4}

    def _tools(self) -> frozenset[str]:
        declared = [field_of(tool, "function_declarations") or [] for tool in
                    self.setup.get("tools") or []]  # fmt: skip
        return frozenset(str(one["name"]) for group in declared for one in group)


def _piece(word: str, pcm: bytes, *, first: bool) -> dict[str, Any]:
    data = base64.b64encode(pcm).decode()
    return {
        "serverContent": {
            "modelTurn": {
                "role": "model",
                "parts": [{"inlineData": {"data": data, "mimeType": "audio/pcm;rate=24000"}}],
            },
            "outputTranscription": {"text": word if first else f" {word}"},
        }
    }


def _pcm(audio: Mapping[str, Any]) -> bytes:
    return base64.urlsafe_b64decode(audio["data"])  # as google-genai writes it


def _only_asks(text: str) -> bool:
    return text == _REPLY_REQUEST or text.startswith("<instructions>")
