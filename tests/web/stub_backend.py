"""A scripted backend for the pages: serves web/dist and answers the API as a test says.

It stands in for the failures that a real backend cannot be asked for on demand; what works is
proven against the real one. The pages get the security headers of the real backend.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from backend.api.pages import policy

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the API."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    authorization: str
    body: dict[str, object]


def problem(status: int, detail: str, *, retry_after_s: int | None = None) -> Answer:
    """Make an answer as the backend words its problems."""
    wait = () if retry_after_s is None else (("Retry-After", str(retry_after_s)),)
    return Answer(status=status, body={"status": status, "detail": detail}, headers=wait)


@dataclass(slots=True, kw_only=True)
class StubBackend:
    """What is answered, by ``"METHOD /path"`` (the query left out), and what was asked."""

    port: int
    answers: dict[str, Answer]
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The page's address, without a token."""
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def stub_backend(pages: Path, *, livekit_url: str) -> Iterator[StubBackend]:
    """Serve until the block ends; unknown API paths answer 404."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    stub = StubBackend(port=server.server_address[1], answers={})
    server.RequestHandlerClass = _handler(stub, pages, policy(livekit_url))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """The requests; ``_handler`` binds it to one stub."""

    stub: StubBackend
    pages: Path
    content_policy: str

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/v1/"):
            self._api("GET", path)
        else:
            self._page(self.pages / (path.lstrip("/") or "index.html"))

    def do_POST(self) -> None:
        self._api("POST", self.path.split("?")[0])

    def _page(self, file: Path) -> None:
        if not file.is_file():
            self._send(Answer(status=404), "text/plain", b"")
            return
        kind = _TYPES.get(file.suffix, "image/svg+xml")
        headers = (("Content-Security-Policy", self.content_policy),)
        self._send(Answer(headers=headers), kind, file.read_bytes())

    def _api(self, method: str, path: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        token = self.headers.get("Authorization", "")
        self.stub.asked.append(Asked(method=method, path=path, authorization=token, body=body))
        answer = self.stub.answers.get(f"{method} {path}", problem(404, "unknown"))
        self._send(answer, "application/json", json.dumps(answer.body).encode())

    def _send(self, answer: Answer, kind: str, body: bytes) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test's output is for what failed."""


def _handler(stub: StubBackend, pages: Path, content_policy: str) -> type[_Handler]:
    bound = {"stub": stub, "pages": pages, "content_policy": content_policy}
    return type("BoundHandler", (_Handler,), bound)
