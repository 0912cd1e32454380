"""Search: words, not a query language; what was stored is found at once (S1.17)."""

import pytest

from tests.backend.log_client import Json, Log, event, message, ok, refused
from tests.backend.process import Backend

TYPED = [
    *('"', "'", "(", ")", "*", "a*", "NEAR(a b)", "a AND", "OR", "NOT a", "col:a", "scope:x", "^a"),
    *("a -b", "a\\", "%", "_", ":*", "a & | !", "\u0000", "a\u0000b", "\ud7ff", "\U0001f600"),
    *("", " ", "x" * 999),
]


def found(log: Log, q: str, **query: object) -> list[Json]:
    """Search a conversation."""
    items: list[Json] = ok(log.http.get(f"{log.path}/search", params={"q": q} | query))["items"]  # type: ignore[arg-type]
    return items


def texts(log: Log, q: str, **query: object) -> list[str]:
    """Search; list the words of what was found."""
    return [hit["event"]["text"] for hit in found(log, q, **query)]


def test_what_was_answered_as_stored_is_found_at_once(log: Log) -> None:
    log.register("w")
    for n in range(1, 30):
        log.store("w", message(n, text=f"parcel number p{n}x arrived"), event(n + 1000))
        (hit,) = found(log, f"p{n}x")
        assert hit["event"] == log.events(kind="message", limit=100)[-1]
        assert hit["score"] > 0


def test_a_message_has_all_words_and_the_last_may_be_only_begun(log: Log) -> None:
    log.register("w")
    said = ["where is my order", "your order is on its way", "orders are late", "goodbye"]
    log.store("w", *(message(n, text=text) for n, text in enumerate(said, 1)))
    assert sorted(texts(log, "order")) == sorted(said[:3])
    assert texts(log, "ORDER my") == [said[0]]
    assert texts(log, "my ord") == [said[0]]
    assert texts(log, "ord my") == []
    assert texts(log, "order", limit=1)[0] in said


def test_case_accents_and_scripts_without_spaces_do_not_matter(log: Log) -> None:
    log.register("w")
    said = ["Crème brûlée in Zürich", "我想查询订单", "straße STRASSE"]
    log.store("w", *(message(n, text=text) for n, text in enumerate(said, 1)))
    assert texts(log, "creme BRULEE zurich") == [said[0]]
    assert texts(log, "订单") == [said[1]]
    assert texts(log, "strasse") == [said[2]]


def test_the_best_comes_first_and_of_equals_the_newest(log: Log) -> None:
    log.register("w")
    said = ["apple", "a very long story in which one apple is named once and no more", "apple"]
    log.store("w", *(message(n, text=text) for n, text in enumerate(said, 1)))
    hits = found(log, "apple")
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert hits[0]["event"]["event_id"] == "e3"


@pytest.mark.parametrize("q", TYPED)
def test_nothing_that_a_person_types_is_wrong(log: Log, q: str) -> None:
    log.register("w")
    log.store("w", message(1, text="a b and or not near scope col x"))
    found(log, q)


def test_a_search_sees_its_conversation_only(log: Log, backend: Backend) -> None:
    other = Log.resolve(log.http)
    for each in (log, other):
        each.register("w")
        each.store("w", message(1, text=f"secret of {each.id}"))
    (hit,) = found(log, "secret")
    assert hit["event"]["conversation_id"] == log.id
    refused(log.http.get("/v1/conversations/none/search", params={"q": "a"}), 404)
    refused(log.http.get("/v1/conversations/none/search", params={"q": "!"}), 404)
    refused(log.http.get(f"{log.path}/search"), 400)
    with backend.client(backend.token(tenant="other")) as http:
        refused(http.get(f"{log.path}/search", params={"q": "secret"}), 404)


def test_only_messages_are_found_and_repeats_are_found_once(log: Log) -> None:
    log.register("w")
    batch = [message(1, text="banana"), event(2, text="banana")]
    log.store("w", *batch)
    assert len(found(log, "banana")) == 1
    log.store("w", *batch)
    assert len(found(log, "banana")) == 1


def test_a_word_that_everybody_says_gives_as_many_as_were_asked_for(log: Log) -> None:
    log.register("w")
    log.store("w", *(message(n, text=f"yes yes{n}") for n in range(1, 151)))
    assert len(found(log, "yes", limit=100)) == 100
    assert len(found(log, "ye", limit=100)) == 100
    assert found(log, "yes", limit=1)[0]["event"]["event_id"] == "e150"
