"""Profiles: what is kept about a person between calls, and who may overwrite whom."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.backend.log_client import ok
from tests.contract.promises import built, new_key, refused

HERS = {"context": {"plan": "gold"}, "preferences": {"language": "de"}}


@pytest.fixture
def path() -> str:
    """The profile of somebody whom nobody knows yet."""
    return f"/v1/profiles/{new_key()}"


def put(
    http: httpx.Client, path: str, body: object, *, match: str | None = None, none: bool = False
) -> httpx.Response:
    """Write a profile; ``match``: If-Match; ``none``: only if there is none yet."""
    headers = {"If-Match": match} if match is not None else {}
    return built(
        http.put(path, json=body, headers=headers | ({"If-None-Match": "*"} if none else {}))
    )


def test_a_profile_is_read_as_it_was_written(http: httpx.Client, path: str) -> None:
    """A profile comes back as it was written, with an ETag; before there is one: 404.
    Otherwise an agent greets somebody with another person's name, or with none."""
    refused(built(http.get(path)), 404)
    written = put(http, path, HERS)
    read = http.get(path)
    assert {name: ok(read)[name] for name in HERS} == HERS
    assert read.headers["etag"]
    assert read.headers["etag"] == written.headers["etag"]
    put(http, path, {"context": {}, "preferences": {}})
    assert ok(http.get(path))["context"] == {}


def test_a_change_of_what_was_not_seen_is_a_412(http: httpx.Client, path: str) -> None:
    """If-Match with another ETag than the current one is a 412 and changes nothing.
    Otherwise of two who change a profile at once, one undoes the other and neither is told."""
    first = put(http, path, HERS).headers["etag"]
    second = put(http, path, HERS | {"context": {"plan": "silver"}}, match=first).headers["etag"]
    assert first != second
    refused(put(http, path, HERS, match=first), 412)
    refused(put(http, path, HERS, match='"never"'), 412)
    refused(put(http, path, HERS, none=True), 412)
    assert ok(http.get(path))["context"] == {"plan": "silver"}


def test_of_writers_that_race_one_wins(http: httpx.Client, path: str) -> None:
    """Of writers with one If-Match that race, exactly one is answered 200; the others 412.
    Otherwise a preference that was confirmed to a caller is gone in the next call."""
    etag = put(http, path, HERS).headers["etag"]

    def change(number: int) -> int:
        body = HERS | {"context": {"number": number}}
        return put(http, path, body, match=etag).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(change, range(8)))
    assert answers == [200] + [412] * 7


def test_a_profile_belongs_to_its_tenant(
    http: httpx.Client, foreign: httpx.Client, path: str
) -> None:
    """Another tenant's profile of the same identity is another profile.
    Otherwise what one customer knows of a caller is told to the next."""
    put(http, path, HERS)
    refused(foreign.get(path), 404)
