"""``python -m simulators.fuzz``: requests made from the API's own description, thousands of them.

A real backend process on SQLite, or on PostgreSQL (``--postgres``), without LiveKit; streams are
left out, for they do not end. The same seed asks the same. What it proves: no status above 499
(calls apart, which need LiveKit: 503 with Retry-After), and every answer is one that
``backend/openapi.json`` describes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from devtools.paths import ROOT
from devtools.ports import Ports
from devtools.servers.backend import Backend
from devtools.servers.postgres import PostgresServer
from devtools.servers.server import Place, clean_environment

DESCRIPTION = ROOT / "backend" / "openapi.json"
ENDLESS = "/events/stream"
CONFORMS = [content_type_conformance, response_schema_conformance, status_code_conformance]
AT = "2026-11-21T04:00:00.000Z"
Case = schemathesis.Case[Any]  # Any: whatever operation it is of
TIMEOUT_S = 30.0
SHOWN = 20
SETTINGS = {"VOICE_BACKEND__CLEAR_WAIT_S": "0.01", "VOICE_BACKEND__LEASE_S": "0.2"}
"""A clear would wait for an agent that is not there."""


@dataclass
class Findings:
    """What came back, and what was wrong with it: each fault once, with how to ask again."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many requests were answered."""
        return self.statuses.total()

    @property
    def never_through(self) -> set[str]:
        """Operations none of whose requests was answered below 300."""
        through = {name for name, status in self.statuses if status < 300}
        return {name for name, _ in self.statuses} - through


class Fuzz:
    """Asks one backend."""

    def __init__(self, url: str, token: str) -> None:
        self.findings = Findings()
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session = requests.Session()
        self._session.trust_env = False
        self._existing: dict[str, str] = {}

    def run(self, *, cases: int, seed: int) -> Findings:
        """Ask ``cases`` times, of each operation alike; some of it about what exists."""
        self._prepare()
        operations = _operations()
        while (left := cases - self.findings.count) > 0:  # some have few different requests
            share, rest = divmod(left, len(operations))
            for index, operation in enumerate(operations):
                if count := share + (index < rest):
                    self._ask_about(operation, count=count, seed=seed)
            seed += 1
        self._session.close()
        return self.findings

    def _prepare(self) -> None:
        made = self._post("/v1/conversations:resolve", {"key": "fuzz"})
        self._existing = {"conversation_id": made["id"], "writer_id": "fuzz"}
        path = f"/v1/conversations/{made['id']}"
        self._post(f"{path}/writers", {"writer_id": "fuzz", "kind": "call", "started_at": AT})
        said = {"v": 1, "event_id": "m", "ordinal": 1, "kind": "message", "at": AT,
                "role": "user", "text": "where is my parcel"}  # fmt: skip
        self._post(f"{path}/events", {"writer_id": "fuzz", "events": [said]})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._session.post(
            self._url + path, json=body, headers=self._headers, timeout=TIMEOUT_S
        )
        answer.raise_for_status()
        return dict(answer.json())

    def _ask_about(self, operation: Any, *, count: int, seed: int) -> None:
        def ask(case: Case, exists: bool) -> None:
            if exists:
                self._name_what_exists(case)
            self._ask(case)

        quiet = hypothesis.settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        given = hypothesis.given(operation.as_strategy(), st.sampled_from([True, True, False]))
        hypothesis.seed(seed)(quiet(given(ask)))()

    def _name_what_exists(self, case: Case) -> None:
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                place.update({n: v for n, v in self._existing.items() if n in place})

    def _ask(self, case: Case) -> None:
        name = f"{case.method} {case.operation.path}"
        answer = case.call(
            base_url=self._url, session=self._session, headers=self._headers, timeout=TIMEOUT_S
        )
        self.findings.statuses[(name, answer.status_code)] += 1
        if wrong := _wrong_with(case, answer):
            self.findings.faults.setdefault(f"{name}: {wrong}", case.as_curl_command())


def _operations() -> list[Any]:
    """All but streams; leases while the writer still owns its conversation, its end last."""
    schema = schemathesis.openapi.from_path(DESCRIPTION)
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    kept = [one for one in found if not one.path.endswith(ENDLESS)]
    return sorted(kept, key=lambda one: one.path.endswith("/end") - one.path.endswith("/lease"))


def _wrong_with(case: Case, answer: schemathesis.Response) -> str:
    """Say in one line what an answer breaks; empty when nothing."""
    away = answer.status_code == 503 and case.operation.path.startswith("/v1/calls")
    if away and "retry-after" not in answer.headers:
        return "503 without Retry-After"
    try:
        case.validate_response(answer, checks=CONFORMS if away else [not_a_server_error, *CONFORMS])
    except FailureGroup as group:
        return "; ".join(_line(each) for each in group.exceptions)
    return ""


def _line(error: Exception) -> str:
    words = f"{error.title} {error.message}" if isinstance(error, Failure) else repr(error)
    return " ".join(words.split())[:300]


@contextmanager
def own_backend(folder: Path, *, postgres: PostgresServer | None = None) -> Iterator[Backend]:
    """Start a backend without LiveKit, on SQLite or in a database of its own on ``postgres``."""
    ports = Ports()
    environ = clean_environment() | SETTINGS
    if postgres is not None:
        name = "fuzz" + sha256(str(folder).encode()).hexdigest()[:20]
        environ |= {"VOICE_BACKEND__DATABASE_URL": postgres.create_database(name)}
    place = Place(folder=folder, environ=environ)
    with Backend(place, port=ports.free(), metrics_port=ports.free()) as backend:
        yield backend


@contextmanager
def own_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Start a PostgreSQL that nobody else uses."""
    folder.mkdir()
    place = Place(folder=folder, environ=clean_environment())
    with PostgresServer(place, port=Ports().free(), durable=False) as server:
        yield server


def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="throughline-fuzz-")


def main() -> int:
    """Ask and print; 0 when every answer was as it is described."""
    parser = argparse.ArgumentParser(prog="fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None, help="the same seed, the same requests")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1_000_000)
    database = "PostgreSQL" if args.postgres else "SQLite"
    print(
        f"fuzz: {args.cases} requests from backend/openapi.json, on {database}, seed {seed}",
        flush=True,
    )
    began_s = time.monotonic()
    with ExitStack() as running:
        folder = Path(running.enter_context(_temporary()))
        postgres = None
        if args.postgres:
            folder.chmod(0o755)  # PostgreSQL runs as another user where we are root
            postgres = running.enter_context(own_postgres(folder / "postgres"))
        backend = running.enter_context(own_backend(folder, postgres=postgres))
        token = backend.create_token("agent")
        findings = Fuzz(backend.url, token).run(cases=args.cases, seed=seed)
    by_status: Counter[int] = Counter()
    for (_, status), count in findings.statuses.items():
        by_status[status] += count
    told = ", ".join(f"{count} × {status}" for status, count in sorted(by_status.items()))
    print(f"fuzz: {findings.count} answers in {time.monotonic() - began_s:.0f} s: {told}")
    for fault, command in list(findings.faults.items())[:SHOWN]:
        print(f"  BROKEN: {fault}\n    {command}")
    outcome = "every answer was as it is described"
    print(f"fuzz: {len(findings.faults)} kinds of FAULT" if findings.faults else f"fuzz: {outcome}")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
