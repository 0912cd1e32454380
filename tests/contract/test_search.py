"""Search in one conversation: what is found, how soon, and what is not."""

import httpx

from tests.backend.log_client import Json, Log, event, message, ok
from tests.backend.waiting import eventually
from tests.contract.promises import built, refused

BOUND_S = 5.0
"""How soon what was answered as stored must be found (docs/own-backend.md); ours: at once."""


def search(log: Log, words: str, **query: int) -> list[Json]:
    """Search; the events, best first."""
    params: dict[str, str | int] = {"q": words, **query}
    asked = built(log.http.get(f"{log.path}/search", params=params))
    hits: list[Json] = ok(asked)["items"]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    return [hit["event"] for hit in hits]


def found(log: Log, words: str, *ids: str) -> None:
    """Wait until a search has exactly these events."""
    eventually(
        lambda: {each["event_id"] for each in search(log, words)} == set(ids), within_s=BOUND_S
    )


def test_what_was_stored_is_found_within_five_seconds(log: Log) -> None:
    """A message that was answered as stored is found within 5 s, as it is read elsewhere.
    Otherwise an agent says that something was never said which was said a minute ago."""
    log.register("w")
    log.store("w", message(1, text="My parcel is late."), message(2, text="It is raining."))
    found(log, "parcel", "e1")
    assert search(log, "parcel") == [each for each in log.events() if each["event_id"] == "e1"]
    log.store("w", message(3, text="The parcel has come."))
    found(log, "parcel", "e1", "e3")


def test_a_hit_has_all_words_whatever_their_case(log: Log) -> None:
    """A hit has all words that were asked for, in any order and case.
    Otherwise the answer to a question of three words is whatever has one of them."""
    log.register("w")
    log.store("w", message(1, text="The red parcel."), message(2, text="A blue parcel."))
    found(log, "PARCEL red", "e1")
    assert search(log, "green parcel") == []


def test_only_messages_of_this_conversation_are_found(log: Log, http: httpx.Client) -> None:
    """A search finds messages, of its own conversation alone.
    Otherwise one caller hears what another one said."""
    other = Log.resolve(http, f"{log.id}-other")
    for each in (log, other):
        each.register("w")
        each.store("w", message(1, text=f"walrus of {each.id[:8]}"), event(2, text="walrus"))
    found(log, "walrus", "e1")
    assert {each["conversation_id"] for each in search(log, "walrus")} == {log.id}


def test_a_search_keeps_its_limit_and_takes_any_words(log: Log) -> None:
    """limit is kept, and whatever a person types is no error.
    Otherwise a question mark in a sentence ends the search, and the agent has nothing to say."""
    log.register("w")
    log.store("w", *(message(n, text=f"walrus {n}") for n in range(1, 6)))
    eventually(lambda: len(search(log, "walrus")) == 5, within_s=BOUND_S)
    assert len(search(log, "walrus", limit=2)) == 2
    for words in ('"walrus', "walrus OR (", "*", "walrus?", "'; --", "-walrus"):
        search(log, words)


def test_an_unknown_conversation_cannot_be_searched(http: httpx.Client) -> None:
    """A search in an unknown conversation is a 404.
    Otherwise a wrong id looks like a conversation in which nothing was said."""
    path = "/v1/conversations/no-such-conversation/search"
    refused(built(http.get(path, params={"q": "x"})), 404)
