"""A conversation as a test speaks to it: few words, every answer checked."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx

AT = "2026-11-21T04:00:00.123Z"
Json = dict[str, Any]
_NAMES = itertools.count(1)


def fresh(prefix: str) -> str:
    """Make a name that no other test uses."""
    return f"{prefix}-{next(_NAMES)}"


def event(ordinal: int, kind: str = "thinking", **fields: object) -> Json:
    """Make an event; its id follows from its ordinal unless given."""
    made: Json = {"v": 1, "event_id": f"e{ordinal}", "ordinal": ordinal, "kind": kind, "at": AT}
    if kind == "thinking":
        made["text"] = f"thought {ordinal}"
    return made | fields


def message(ordinal: int, role: str = "user", text: str = "", **fields: object) -> Json:
    """Make a message."""
    return event(ordinal, "message", role=role, text=text or f"{role} {ordinal}", **fields)


def ok(answer: httpx.Response, *statuses: int) -> Json:
    """Check an answer's status and read it."""
    assert answer.status_code in (statuses or (200, 201)), answer.text
    body: Json = answer.json()
    return body


def refused(answer: httpx.Response, status: int, code: str | None = None) -> Json:
    """Check that an answer is a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: Json = answer.json()
    assert body["status"] == status
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"}
    if code is not None:
        assert body["code"] == code, body
    return body


@dataclass
class Log:
    """One conversation."""

    http: httpx.Client
    id: str
    writers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def resolve(cls, http: httpx.Client, key: str | None = None) -> "Log":
        """Get or create the conversation of a key, a new one without."""
        answer = http.post("/v1/conversations:resolve", json={"key": key or fresh("key")})
        return cls(http, ok(answer)["id"])

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/conversations/{self.id}"

    def shown(self) -> Json:
        """Read the conversation."""
        return ok(self.http.get(self.path))

    def register(self, writer_id: str, **fields: object) -> Json:
        """Register a writer."""
        body = {"writer_id": writer_id, "kind": "call", "started_at": AT} | fields
        made = ok(self.http.post(f"{self.path}/writers", json=body))
        self.writers[writer_id] = made["fence"]
        return made

    def send(self, writer_id: str, *events: Json) -> httpx.Response:
        """Send a batch, whatever the answer."""
        body = {"writer_id": writer_id, "events": list(events)}
        return self.http.post(f"{self.path}/events", json=body)

    def store(self, writer_id: str, *events: Json) -> Json:
        """Store a batch."""
        return ok(self.send(writer_id, *events))

    def events(self, **query: object) -> list[Json]:
        """List events."""
        items: list[Json] = ok(self.http.get(f"{self.path}/events", params=query))["items"]  # type: ignore[arg-type]
        return items

    def texts(self, **query: object) -> list[str]:
        """List the words of the messages, in conversation order."""
        query = {"last": 200} | query
        page = ok(self.http.get(f"{self.path}/messages", params=query))  # type: ignore[arg-type]
        return [item["text"] for item in page["items"]]

    def beat(self, writer_id: str, **fields: object) -> httpx.Response:
        """Send a heartbeat."""
        body = {"last_ordinal": 0} | fields
        return self.http.put(f"{self.path}/writers/{writer_id}/lease", json=body)

    def end(self, writer_id: str, **fields: object) -> httpx.Response:
        """End a writer."""
        body = {"reason": "caller left", "at": AT} | fields
        return self.http.post(f"{self.path}/writers/{writer_id}/end", json=body)
