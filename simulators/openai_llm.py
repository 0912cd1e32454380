"""A server that speaks OpenAI's chat completions from a script, for ``VOICE_LLM_BASE_URL``.

    python -m simulators.openai_llm --port 8090 --script replies.json

The script is a list; each request takes the next entry, and the last one is repeated for ever:

    [{"text": "Hello there."},
     {"tool": "current_time", "arguments": {"city": "Tokyo"}},
     {"status": 503},
     {"fault": "hang"},
     {"fault": "garbage"}]

Real HTTP with server-sent events, or one JSON answer when the client does not stream. What it was
asked is kept in ``requests`` for a test to read. Tests alone depend on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

_MODEL = "scripted"
_CREATED = 1_700_000_000  # the same for ever: nothing here depends on time


Fault = Literal["hang", "garbage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one request is answered with: words, a tool call, an HTTP error, or a fault.

    ``hang``: headers and then nothing; ``garbage``: an event stream that is not JSON.
    """

    text: str = ""
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)  # JSON, as a model would write it
    status: int = 200
    fault: Fault | None = None


class ScriptedServer:
    """The server; ``base_url`` is what a client is given."""

    def __init__(self, script: list[Step]) -> None:
        if not script:
            raise ValueError("a script needs at least one step")
        self._script = script
        self.requests: list[dict[str, Any]] = []  # bodies as they came
        self.base_url = ""
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def serving(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[None]:
        """Listen for the length of an ``async with`` block; port 0 takes a free one."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound = runner.addresses[0]
            self.base_url = f"http://{host}:{bound[1]}/v1"
            yield
        finally:
            self._closing.set()
            await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": _MODEL, "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
        except json.JSONDecodeError:
            return _error(400, "the body is not JSON")
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return _error(400, "messages are missing")
        step = self._script[min(len(self.requests), len(self._script) - 1)]
        self.requests.append(body)
        if step.status != 200:
            return _error(step.status, "scripted failure")
        answer_id = f"chatcmpl-{len(self.requests)}"
        if not body.get("stream"):
            return web.json_response(_whole(answer_id, step))
        return await _stream(request, answer_id, step, hung=self._closing)


async def _stream(
    request: web.Request, answer_id: str, step: Step, *, hung: asyncio.Event
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if step.fault == "hang":
        await hung.wait()
        return response
    if step.fault == "garbage":
        await response.write(b"data: {not json\n\n")
        return response
    for delta in _deltas(answer_id, step):
        await response.write(_event(_chunk(answer_id, delta=delta)))
    reason = "tool_calls" if step.tool else "stop"
    await response.write(_event(_chunk(answer_id, delta={}, finish_reason=reason)))
    await response.write(_event({**_chunk(answer_id), "choices": [], "usage": _usage(step)}))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _deltas(answer_id: str, step: Step) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if step.tool is None else None}
    if step.tool is not None:
        arguments = json.dumps(step.arguments)
        half = len(arguments) // 2  # arguments come in parts, as they do from a model
        call = {"index": 0, "id": f"call_{answer_id}", "type": "function"}
        yield {"tool_calls": [{**call, "function": {"name": step.tool, "arguments": ""}}]}
        for part in (arguments[:half], arguments[half:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
        return
    for number, word in enumerate(step.text.split(" ")):
        yield {"content": word if number == 0 else f" {word}"}


def _chunk(
    answer_id: str, *, delta: dict[str, Any] | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": _MODEL,
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish_reason}],
    }


def _whole(answer_id: str, step: Step) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
    if step.tool is not None:
        function = {"name": step.tool, "arguments": json.dumps(step.arguments)}
        call = {"id": f"call_{answer_id}", "type": "function", "function": function}
        message["tool_calls"] = [call]
    reason = "tool_calls" if step.tool else "stop"
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": _CREATED,
        "model": _MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": _usage(step),
    }


def _usage(step: Step) -> dict[str, int]:
    words = len(step.text.split()) or 1
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}


def _event(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(body)}\n\n".encode()


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "scripted"}}, status=status)


async def serve(script: list[Step], *, port: int) -> None:
    """Serve until cancelled."""
    server = ScriptedServer(script)
    async with server.serving(port=port):
        print(f"scripted model on {server.base_url}", flush=True)
        await asyncio.Event().wait()


def main() -> int:
    """Run the program until Ctrl-C."""
    parser = argparse.ArgumentParser(description="OpenAI chat completions from a script.")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, printed")
    parser.add_argument("--script", type=Path, help="JSON list of steps")
    args = parser.parse_args()
    steps: list[dict[str, Any]] = [{"text": "Hello."}]
    if args.script:
        steps = json.loads(args.script.read_text("utf-8"))
    try:
        asyncio.run(serve([Step(**step) for step in steps], port=args.port))
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
