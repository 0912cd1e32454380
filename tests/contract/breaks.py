"""One promise broken at a time: servers as someone might write them in good faith."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace

from tests.backend.log_client import Json
from tests.contract.breaking import Answer, Asked, Break, Send, made_up

COUNT = itertools.count(1)


def faithful(asked: Asked, send: Send) -> Answer:
    """Break nothing."""
    return send(asked)


def forgets_what_it_has() -> Break:
    """Store a repeated event once more."""
    seen: set[tuple[str, str]] = set()

    def again(asked: Asked, one: Json) -> Json:
        known = (asked.path, str(one.get("event_id")))
        if known in seen:
            return one | {"event_id": f"again-{next(COUNT)}", "ordinal": 1000 + next(COUNT)}
        seen.add(known)
        return one

    def break_(asked: Asked, send: Send) -> Answer:
        if not asked.is_("POST", "/events") or not isinstance(asked.json.get("events"), list):
            return send(asked)
        return send(asked.saying(events=[again(asked, one) for one in asked.json["events"]]))

    return break_


def stores_half_a_batch(asked: Asked, send: Send) -> Answer:
    """Keep what came before the wrong event."""
    answer = send(asked)
    if asked.is_("POST", "/events") and answer.status in {400, 409} and answer.json["errors"]:
        good = asked.json["events"][: answer.json["errors"][0]["index"]]
        send(asked.saying(events=good))
    return answer


def takes_other_content_for_a_repeat(asked: Asked, send: Send) -> Answer:
    """Say 200 to the same id with other content."""
    answer = send(asked)
    if asked.is_("POST", "/events") and answer.status == 409:
        return send(asked.saying(events=[]))
    return answer


def names_no_event(asked: Asked, send: Send) -> Answer:
    """Refuse a batch without saying which event."""
    answer = send(asked)
    return answer.saying(errors=[]) if answer.status in {400, 409, 413} else answer


def acknowledges_over_gaps(asked: Asked, send: Send) -> Answer:
    """Acknowledge the highest ordinal that it has seen."""
    answer = send(asked)
    if asked.is_("POST", "/events") and answer.status == 200 and asked.json["events"]:
        return answer.saying(acknowledged=max(one["ordinal"] for one in asked.json["events"]))
    return answer


def hides_gaps(asked: Asked, send: Send) -> Answer:
    """Show nothing as missing."""
    answer = send(asked)
    shown = asked.method == "GET" and answer.status == 200 and "missing" in answer.json
    return answer.saying(missing=[]) if shown else answer


def answers_repeats_with_an_error(asked: Asked, send: Send) -> Answer:
    """Refuse a second registration of one writer."""
    answer = send(asked)
    if asked.is_("POST", "/writers") and answer.status == 200:
        problem = {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "known",
                   "code": "known_writer", "errors": []}  # fmt: skip
        kind = {"content-type": "application/problem+json"}
        return Answer(409, json.dumps(problem).encode(), kind)
    return answer


def takes_no_claims(asked: Asked, send: Send) -> Answer:
    """Grant its own fence, whatever was claimed."""
    return send(asked.saying(fence=None) if asked.is_("POST", "/writers") else asked)


def shares_fences(asked: Asked, send: Send) -> Answer:
    """Grant what was claimed, whoever has it."""
    answer = send(asked)
    claimed = asked.json.get("fence") if asked.is_("POST", "/writers") else None
    return answer.saying(fence=claimed) if claimed and answer.status == 201 else answer


def believes_clocks(asked: Asked, send: Send) -> Answer:
    """Grant each writer its own start as its fence."""
    answer = send(asked)
    if asked.is_("POST", "/writers") and answer.status == 201:
        return answer.saying(fence=1_795_233_600_123)
    return answer


def renews_for(code: str) -> Break:
    """Renew a lease that should be refused with this code."""

    def break_(asked: Asked, send: Send) -> Answer:
        answer = send(asked)
        if asked.is_("PUT", "/lease") and answer.status == 409 and answer.json["code"] == code:
            return made_up(session_number=0, highest_fence=1, lease_s=1.0)
        return answer

    return break_


def calls_every_conflict_one_name(asked: Asked, send: Send) -> Answer:
    """Refuse a lease without a code that says why."""
    answer = send(asked)
    return answer.saying(code="conflict") if answer.status == 409 else answer


def ends_twice(asked: Asked, send: Send) -> Answer:
    """Show a later reason as the first."""
    answer = send(asked)
    if asked.is_("GET", "/events") and "call_ended" in asked.path:
        items = answer.json["items"]
        return answer.saying(items=items + items)
    return answer


def takes_known_fields_alone(asked: Asked, send: Send) -> Answer:
    """Refuse an end that says more than why and when."""
    known = {"reason", "at", "last_ordinal"}
    if asked.is_("POST", "/end") and not asked.json.keys() <= known:
        return made_up(400)
    return send(asked)


def sorts_by_arrival(asked: Asked, send: Send) -> Answer:
    """List messages in the order in which they came."""
    answer = send(asked)
    if asked.is_("GET", "/messages") and answer.status == 200:
        return answer.saying(items=sorted(answer.json["items"], key=lambda one: one["position"]))
    return answer


def sorts_by_fence_alone(asked: Asked, send: Send) -> Answer:
    """Let the fence go before the session."""
    answer = send(asked)
    if asked.is_("GET", "/messages") and answer.status == 200:
        return answer.saying(items=sorted(answer.json["items"], key=lambda one: one["fence"]))
    return answer


def loses_a_page(asked: Asked, send: Send) -> Answer:
    """Put the cursor one too far."""
    answer = send(asked)
    if asked.is_("GET", "/events") and answer.status == 200 and answer.json["next"]:
        return answer.saying(next=answer.json["next"] + 1)
    return answer


def clears_without_a_number(asked: Asked, send: Send) -> Answer:
    """Clear and stay in the session."""
    answer = send(asked)
    cleared = asked.is_("POST", "/clear") and answer.status == 200
    return answer.saying(session_number=answer.json["session_number"] - 1) if cleared else answer


def reuses_numbers(asked: Asked, send: Send) -> Answer:
    """Give two clears one number."""
    answer = send(asked)
    if asked.is_("POST", "/clear") and answer.status == 200:
        return answer.saying(session_number=(answer.json["session_number"] + 1) // 2)
    return answer


def clears_twice(asked: Asked, send: Send) -> Answer:
    """Take a repeated clear for another one."""
    if not asked.is_("POST", "/clear") or "event_id" not in asked.json:
        return send(asked)
    answer = send(asked.saying(event_id=f"clear-{next(COUNT)}"))
    return answer.saying(event_id=asked.json["event_id"]) if answer.status == 200 else answer


def files_under_today(asked: Asked, send: Send) -> Answer:
    """Store everything under the session that is open now."""
    if not asked.is_("POST", "/events") or not isinstance(asked.json.get("events"), list):
        return send(asked)
    now = send(replace(asked, method="GET", path=asked.path.removesuffix("/events"), body=b""))
    number = now.json.get("session_number", 0)
    events = [one | {"session_number": number} for one in asked.json["events"]]
    return send(asked.saying(events=events))


def counts_events_as_versions(asked: Asked, send: Send) -> Answer:
    """Count events instead of turns."""
    answer = send(asked)
    shown = asked.method == "GET" and answer.status == 200 and "last_position" in answer.json
    return answer.saying(version=str(answer.json["last_position"])) if shown else answer


def keeps_agents_in_the_dark(asked: Asked, send: Send) -> Answer:
    """Answer with the session that the agent began in."""
    answer = send(asked)
    told = asked.is_("POST", "/events") or asked.is_("PUT", "/lease")
    return answer.saying(session_number=0) if told and answer.status == 200 else answer


def resolves_anew(asked: Asked, send: Send) -> Answer:
    """Create whenever it is asked: a race that nobody decides."""
    if asked.is_("POST", ":resolve") and "key" in asked.json:
        return send(asked.saying(key=f"{asked.json['key']}-{next(COUNT)}"))
    return send(asked)


def refuses_the_dead() -> Break:
    """Take nothing more from a writer that has ended."""
    ended: set[str] = set()

    def break_(asked: Asked, send: Send) -> Answer:
        if asked.is_("POST", "/end"):
            ended.add(asked.path.removesuffix("/end"))
        writer = f"{asked.path.removesuffix('/events')}/writers/{asked.json.get('writer_id')}"
        if asked.is_("POST", "/events") and writer in ended:
            return send(asked.saying(writer_id="nobody"))
        return send(asked)

    return break_


def answers(status: int, instead_of: int) -> Break:
    """Use another status; the problem's own field goes along."""

    def break_(asked: Asked, send: Send) -> Answer:
        answer = send(asked)
        if answer.status != instead_of:
            return answer
        return replace(answer.saying(status=status), status=status)

    return break_


def says_no_in_plain_json(asked: Asked, send: Send) -> Answer:
    """Refuse with a body of its own."""
    answer = send(asked)
    return made_up(answer.status, error="no") if answer.status >= 400 else answer


def is_busy_without_a_word() -> Break:
    """Answer 503 now and then, without Retry-After."""
    count = itertools.count(1)

    def break_(asked: Asked, send: Send) -> Answer:
        answer = send(asked)
        if asked.method == "POST" and next(count) == 2:
            problem = {"type": "about:blank", "title": "Busy", "status": 503, "detail": "busy",
                       "code": "busy", "errors": []}  # fmt: skip
            kind = {"content-type": "application/problem+json"}
            return Answer(503, json.dumps(problem).encode(), kind)
        return answer

    return break_


def has_no_limits(asked: Asked, send: Send) -> Answer:
    """Say 200 to whatever is too large."""
    answer = send(asked)
    return made_up(acknowledged=0, positions=[]) if answer.status == 413 else answer


def takes_any_type(asked: Asked, send: Send) -> Answer:
    """Read every body as JSON."""
    return send(replace(asked, headers=asked.headers | {"content-type": "application/json"}))


def drops_unknown_fields(asked: Asked, send: Send) -> Answer:
    """Keep only the fields that it knows."""
    if not asked.is_("POST", "/events") or not isinstance(asked.json.get("events"), list):
        return send(asked)
    known = [{n: v for n, v in one.items() if n != "future_field"} for one in asked.json["events"]]
    return send(asked.saying(events=known))


def lets_the_stream_leak(asked: Asked, send: Send) -> Answer:
    """Lose every seventieth event of a stream."""
    answer = send(asked)
    if answer.lines is None:
        return answer

    def leaking(lines: Iterator[str]) -> Iterator[str]:
        lost = False
        for line in lines:
            lost = (line.startswith("id: ") and int(line[4:]) % 70 == 0) or (lost and line != "")
            if not lost:
                yield line

    return replace(answer, lines=leaking(answer.lines))


def repeats_itself_in_the_stream(asked: Asked, send: Send) -> Answer:
    """Show one event of the history twice."""
    answer = send(asked)
    if answer.lines is None:
        return answer

    def doubled(lines: Iterator[str]) -> Iterator[str]:
        block: list[str] = []
        for line in lines:
            block.append(line)
            if line == "":
                yield from block * (2 if "id: 4" in block else 1)
                block = []

    return replace(answer, lines=doubled(answer.lines))
