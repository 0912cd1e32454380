"""Profiles: one writer at a time wins, and nobody overwrites what they have not seen."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.backend.log_client import fresh, ok, refused
from tests.backend.process import Backend


def test_a_profile_is_read_as_it_was_written(http: httpx.Client) -> None:
    path = f"/v1/profiles/{fresh('ada')}"
    refused(http.get(path), 404, "unknown_profile")
    body = {"preferences": {"language": "de", "deep": {"a": [1, None]}}, "context": {"plan": "pro"}}
    written = http.put(path, json=body)
    read = http.get(path)
    assert ok(read) == ok(written)
    assert {name: read.json()[name] for name in body} == body
    assert read.headers["etag"] == written.headers["etag"]


def test_a_change_of_what_was_not_seen_is_refused(http: httpx.Client) -> None:
    path = f"/v1/profiles/{fresh('ada')}"
    first = http.put(path, json={"preferences": {"n": 1}}, headers={"If-None-Match": "*"})
    etag = first.headers["etag"]
    second = http.put(path, json={"preferences": {"n": 2}}, headers={"If-Match": etag})
    assert second.status_code == 200
    stale = http.put(path, json={"preferences": {"n": 3}}, headers={"If-Match": etag})
    refused(stale, 412)
    refused(http.put(path, json={}, headers={"If-None-Match": "*"}), 412)
    repeated = http.put(path, json={"preferences": {"n": 2}}, headers={"If-Match": etag})
    assert ok(repeated)["preferences"] == {"n": 2}
    both = {"If-Match": f'"other", {second.headers["etag"]}'}
    assert ok(http.put(path, json={"preferences": {"n": 4}}, headers=both))
    for header in ("x", '"a" b', ""):
        refused(http.put(path, json={}, headers={"If-Match": header}), 400)
    absent = f"/v1/profiles/{fresh('none')}"
    refused(http.put(absent, json={}, headers={"If-Match": "*"}), 412)
    refused(http.put(absent, json={}, headers={"If-Match": etag}), 412)


def test_of_writers_that_race_exactly_one_wins(http: httpx.Client) -> None:
    path = f"/v1/profiles/{fresh('race')}"

    def write(n: int) -> int:
        body = {"preferences": {"n": n}}
        return http.put(path, json=body, headers={"If-None-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(16))) == [200] + [412] * 15


def test_a_profile_belongs_to_its_tenant_and_identities_may_look_like_anything(
    backend: Backend, http: httpx.Client
) -> None:
    for identity in ("a b", "a%2Fb", "%2B49123", "ä@x"):
        path = f"/v1/profiles/{identity}"
        ok(http.put(path, json={"context": {"of": identity}}))
        assert ok(http.get(path))["context"] == {"of": identity}
    with backend.client(backend.token(tenant="other")) as other:
        refused(other.get("/v1/profiles/a b"), 404)
    with backend.client(backend.token("call")) as caller:
        refused(caller.get("/v1/profiles/a b"), 403)
    with backend.client(backend.token("read")) as reader:
        assert ok(reader.get("/v1/profiles/a b"))
        refused(reader.put("/v1/profiles/a b", json={}), 403)
    refused(http.put("/v1/profiles/a", json={"context": {"x": "y" * 70_000}}), 413)
    refused(http.put("/v1/profiles/a", json={"context": 1}), 400)


def test_a_profile_nested_too_deeply_is_refused_at_any_depth(http: httpx.Client) -> None:
    path = f"/v1/profiles/{fresh('deep')}"
    for depth in (*range(128, 1_000, 50), *range(940, 1_000)):
        raw = '{"context": {"a": %s}}' % ("[" * depth + "]" * depth)
        answer = http.put(path, content=raw, headers={"content-type": "application/json"})
        refused(answer, 400, "malformed")
    refused(http.get(path), 404, "unknown_profile")


def test_an_identity_that_not_every_database_can_hold_is_refused(http: httpx.Client) -> None:
    path = f"/v1/profiles/{fresh('ada')}%00"
    refused(http.get(path), 400, "malformed")
    refused(http.put(path, json={}), 400, "malformed")
