"""A proxy before a backend that breaks one promise: what the suite must catch.

A break is a function: it gets the request and a way to send one, and answers.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.backend.log_client import Json

PASSED_ON = {"authorization", "content-type", "if-match", "if-none-match", "last-event-id"}
GIVEN_BACK = {"content-type", "retry-after", "www-authenticate", "etag"}


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def is_(self, method: str, ending: str) -> bool:
        """Whether it is a request of this kind."""
        return self.method == method and self.path.split("?")[0].endswith(ending)

    @property
    def json(self) -> Json:
        """The body; empty when it cannot be read."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}

    def saying(self, **fields: object) -> "Asked":
        """The same request with other fields; None drops one."""
        said = {name: value for name, value in (self.json | fields).items() if value is not None}
        return replace(self, body=json.dumps(said).encode())


@dataclass(frozen=True)
class Answer:
    """An answer; ``lines`` instead of a body when it streams."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    lines: Iterator[str] | None = None

    @property
    def json(self) -> Json:
        """The body."""
        read: Json = json.loads(self.body)
        return read

    def saying(self, **fields: object) -> "Answer":
        """The same answer with other fields."""
        return replace(self, body=json.dumps(self.json | fields).encode())


def made_up(status: int = 200, **fields: object) -> Answer:
    """An answer that no backend gave."""
    return Answer(status, json.dumps(fields).encode())


Send = Callable[[Asked], Answer]
Break = Callable[[Asked, Send], Answer]


@contextmanager
def broken_server(url: str, break_: Break) -> Iterator[str]:
    """Serve ``url`` with one promise broken; yields where."""
    with httpx.Client(base_url=url, timeout=30.0) as there:
        server = _Server(there, break_)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, there: httpx.Client, break_: Break) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.there = there
        self.break_ = break_


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {n.lower(): v for n, v in self.headers.items() if n.lower() in PASSED_ON}
        asked = Asked(self.command, self.path, headers, body)
        try:
            if asked.is_("GET", "/events/stream"):
                with self.server.there.stream("GET", asked.path, headers=headers) as stream:
                    if stream.status_code == 200:
                        self._stream(asked, stream)
                        return
            self._give(self.server.break_(asked, self._send))
        except (httpx.HTTPError, OSError):
            self.close_connection = True  # one side hung up

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - http.server's names

    def _send(self, asked: Asked) -> Answer:
        found = self.server.there.request(
            asked.method, asked.path, headers=asked.headers, content=asked.body
        )
        kept = {n: v for n, v in found.headers.items() if n in GIVEN_BACK}
        return Answer(found.status_code, found.content, kept)

    def _stream(self, asked: Asked, stream: httpx.Response) -> None:
        kind = {"content-type": "text/event-stream"}
        answer = self.server.break_(
            asked, lambda _: Answer(200, headers=kind, lines=stream.iter_lines())
        )
        if answer.lines is None:
            self._give(answer)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for line in answer.lines:
            self.wfile.write(f"{line}\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def _give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
