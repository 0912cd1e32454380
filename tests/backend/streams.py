"""A reader of a live stream: a thread that collects what comes, as a test asks for it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.backend.log_client import Json
from tests.backend.waiting import eventually


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    name: str
    id: int | None
    body: Json


@dataclass
class Stream:
    """What a stream has sent so far."""

    sent: list[Sent] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """The positions, in the order they came."""
        return [each.id for each in self.sent if each.id is not None]

    def has(self, count: int, *, within_s: float = 10.0) -> list[Sent]:
        """Wait for ``count`` events."""
        eventually(lambda: len(self.sent) >= count, within_s=within_s)
        return self.sent

    def feed(self, lines: Iterator[str]) -> None:
        """Read lines to the end."""
        name, id_, data = "", None, ""
        for line in lines:
            if not line:
                if data:
                    self.sent.append(Sent(name, id_, json.loads(data)))
                name, id_, data = "", None, ""
                continue
            key, _, value = line.partition(": ")
            match key:
                case "":
                    self.comments.append(value)
                case "event":
                    name = value
                case "id":
                    id_ = int(value)
                case "data":
                    data = value


@contextmanager
def following(http: httpx.Client, path: str, **options: object) -> Iterator[Stream]:
    """Follow a conversation in a thread of its own; leaving the block hangs up."""
    stream = Stream()
    begun = threading.Event()
    answers: list[httpx.Response] = []

    def read() -> None:
        try:
            with client.stream("GET", f"{path}/events/stream", **options) as answer:  # type: ignore[arg-type]
                answers.append(answer)
                stream.headers.update(answer.headers)
                begun.set()
                if answer.status_code == 200:
                    stream.feed(answer.iter_lines())
        except (httpx.TransportError, httpx.StreamError, OSError):
            pass  # hung up
        finally:
            begun.set()
            stream.ended.set()

    headers = dict(http.headers)
    with httpx.Client(base_url=http.base_url, headers=headers, timeout=30.0) as client:
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        assert begun.wait(10.0)
        assert answers, "the stream was not answered"
        assert answers[0].status_code == 200, answers[0].status_code
        try:
            yield stream
        finally:
            network = answers[0].extensions["network_stream"]
            sock = network.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.shutdown(2)
            thread.join(10.0)
            assert not thread.is_alive()
