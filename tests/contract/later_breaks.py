"""One promise broken at a time, in what is built last: clears, copies, profiles, search, calls."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace

from tests.contract.breaking import Answer, Asked, Break, Send, made_up

COUNT = itertools.count(1)
PROBLEM = {"content-type": "application/problem+json"}


def problem(status: int, **headers: str) -> Answer:
    """A refusal that no backend gave."""
    body = {"type": "about:blank", "title": "No", "status": status, "detail": "no", "code": "no",
            "errors": []}  # fmt: skip
    return Answer(status, json.dumps(body).encode(), PROBLEM | headers)


def acknowledges_unseen(asked: Asked, send: Send) -> Answer:
    """Say that the agent has forgotten, whether or not it knows."""
    answer = send(asked)
    cleared = asked.is_("POST", "/clear") and answer.status == 200
    return answer.saying(acknowledged=True) if cleared else answer


def keeps_latecomers_in_the_dark(asked: Asked, send: Send) -> Answer:
    """Tell every writer the session of today alone."""
    answer = send(asked)
    if asked.is_("POST", "/writers") and answer.status < 300:
        return answer.saying(fence_session=answer.json["session_number"])
    return answer


def exports_by_arrival(asked: Asked, send: Send) -> Answer:
    """Export events in the order in which they came."""
    answer = send(asked)
    if not asked.is_("GET", "/export") or answer.status != 200:
        return answer
    first, *lines = answer.body.splitlines()
    lines.sort(key=lambda line: json.loads(line)["position"])
    return replace(answer, body=b"\n".join([first, *lines]))


def forks_nothing(asked: Asked, send: Send) -> Answer:
    """Make a conversation with nothing in it."""
    if not asked.is_("POST", "/fork"):
        return send(asked)
    body = json.dumps({"key": f"fork-{next(COUNT)}-{asked.path}"}).encode()
    return send(replace(asked, path="/v1/conversations:resolve", body=body))


def forks_to_the_end(asked: Asked, send: Send) -> Answer:
    """Copy everything, whatever was asked for."""
    return send(asked.saying(up_to_event_id=None) if asked.is_("POST", "/fork") else asked)


def forks_into_the_same(asked: Asked, send: Send) -> Answer:
    """Give the conversation itself for its copy."""
    if not asked.is_("POST", "/fork"):
        return send(asked)
    source = replace(asked, method="GET", path=asked.path.removesuffix("/fork"), body=b"")
    return replace(send(source), status=201)


def forks_again(asked: Asked, send: Send) -> Answer:
    """Fork once more when the same fork is asked for."""
    if asked.is_("POST", "/fork") and "conversation_id" in asked.json:
        return send(asked.saying(conversation_id=f"again-{next(COUNT)}-{id(asked)}"))
    return send(asked)


def loses_preferences(asked: Asked, send: Send) -> Answer:
    """Show only half of a profile."""
    answer = send(asked)
    shown = asked.path.startswith("/v1/profiles/") and asked.method == "GET"
    return answer.saying(preferences={}) if shown and answer.status == 200 else answer


def takes_every_change(asked: Asked, send: Send) -> Answer:
    """Do not look at If-Match."""
    kept = {n: v for n, v in asked.headers.items() if n not in {"if-match", "if-none-match"}}
    return send(replace(asked, headers=kept))


def shares_profiles() -> Break:
    """Keep one profile of an identity, whoever asks."""
    kept: dict[str, Answer] = {}

    def break_(asked: Asked, send: Send) -> Answer:
        answer = send(asked)
        if asked.path.startswith("/v1/profiles/"):
            if asked.method == "PUT" and answer.status == 200:
                kept[asked.path] = answer
            return kept.get(asked.path, answer)
        return answer

    return break_


def finds_nothing(asked: Asked, send: Send) -> Answer:
    """Search in an index that nobody fills."""
    answer = send(asked)
    found = asked.is_("GET", "/search") and answer.status == 200
    return answer.saying(items=[]) if found else answer


def finds_any_word(asked: Asked, send: Send) -> Answer:
    """Look for the first word alone."""
    if asked.is_("GET", "/search"):
        return send(replace(asked, path=asked.path.replace("+", "&ignored=")))
    return send(asked)


def searches_everywhere(asked: Asked, send: Send) -> Answer:
    """Find the words of another conversation, too."""
    answer = send(asked)
    if not asked.is_("GET", "/search") or answer.status != 200 or not answer.json["items"]:
        return answer
    hit = answer.json["items"][0]
    other = hit | {"event": hit["event"] | {"conversation_id": "another"}}
    return answer.saying(items=[hit, other])


def wants_a_syntax(asked: Asked, send: Send) -> Answer:
    """Hand a query to a database that has a syntax for it."""
    is_odd = asked.is_("GET", "/search") and "%22" in asked.path
    return problem(400) if is_odd else send(asked)


def finds_without_limit(asked: Asked, send: Send) -> Answer:
    """Give whatever was found."""
    if asked.is_("GET", "/search"):
        return send(replace(asked, path=asked.path.replace("limit=", "ignored=")))
    return send(asked)


def cannot_call_and_says_nothing(asked: Asked, send: Send) -> Answer:
    """Answer 503 without Retry-After."""
    return problem(503) if asked.is_("POST", "/v1/calls") else send(asked)


def cannot_call_and_looks_at_nothing(asked: Asked, send: Send) -> Answer:
    """Answer 503 whatever is asked."""
    wait = {"retry-after": "1"}
    return problem(503, **wait) if asked.is_("POST", "/v1/calls") else send(asked)


def opens_half_a_call(asked: Asked, send: Send) -> Answer:
    """Answer with a room and no token for it."""
    if asked.is_("POST", "/v1/calls"):
        return made_up(201, room="room", url="wss://livekit.example", identity="ada",
                       conversation_id=asked.json.get("conversation_id"))  # fmt: skip
    return send(asked)


def goes_on_without_a_word(asked: Asked, send: Send) -> Answer:
    """Leave the reset out of a stream."""
    answer = send(asked)
    if answer.lines is None:
        return answer

    def mute(lines: Iterator[str]) -> Iterator[str]:
        block: list[str] = []
        for line in lines:
            block.append(line)
            if line == "":
                yield from () if "event: reset" in block else block
                block = []

    return replace(answer, lines=mute(answer.lines))
