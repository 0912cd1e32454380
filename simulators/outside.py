"""The system seen from outside: its HTTP API, and which process serves which room.

For the demo and the scenario tests. Knows the documented formats (docs/events.md, the outbox's
frames) and nothing of the program's inside.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_HEADER_AT = 20  # the first frame's head; its payload is the JSON header


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCall:
    """What ``POST /v1/calls`` answered."""

    url: str
    token: str
    room: str
    conversation_id: str
    identity: str


class Outside:
    """One backend, seen through its API. ``async with Outside(...)``."""

    def __init__(self, *, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def open_call(self, **body: str) -> OpenedCall:
        """Ask for a call; ``conversation_id`` continues one."""
        answer = await self._http.post("/v1/calls", json=body)
        answer.raise_for_status()
        fields = answer.json()
        return OpenedCall(**{name: fields[name] for name in OpenedCall.__slots__})

    async def send_agent(self, room: str) -> None:
        """Make sure (again) that an agent is in the room: the page's "reconnect"."""
        (await self._http.post(f"/v1/calls/{room}/agent")).raise_for_status()

    async def clear(self, conversation_id: str) -> dict[str, Any]:
        """Begin a new session of the conversation."""
        body = {"event_id": f"clear-{os.urandom(8).hex()}"}
        answer = await self._http.post(f"/v1/conversations/{conversation_id}/clear", json=body)
        answer.raise_for_status()
        return dict(answer.json())

    async def call_state(self, room: str) -> dict[str, Any]:
        """Whether the agent is dispatching, joined or absent."""
        return await self._get(f"/v1/calls/{room}")

    async def conversation(self, conversation_id: str) -> dict[str, Any]:
        """The conversation's own fields."""
        return await self._get(f"/v1/conversations/{conversation_id}")

    async def usage(self, conversation_id: str) -> dict[str, Any]:
        """What its models used up."""
        return await self._get(f"/v1/conversations/{conversation_id}/usage")

    async def messages(self, conversation_id: str, last: int = 200) -> list[dict[str, Any]]:
        """Its messages, oldest first, in conversation order."""
        path = f"/v1/conversations/{conversation_id}/messages"
        return list((await self._get(path, last=last))["items"])

    async def all_messages(self, conversation_id: str) -> list[dict[str, Any]]:
        """Every message of it, oldest first, in conversation order."""
        path = f"/v1/conversations/{conversation_id}/messages"
        page = await self._get(path, last=200)
        found = list(page["items"])
        while page.get("next") is not None:
            page = await self._get(path, last=200, before=page["next"])
            found[:0] = page["items"]
        return found

    async def resolve(self, key: str) -> str:
        """The id of the conversation that has a key."""
        answer = await self._http.post("/v1/conversations:resolve", json={"key": key})
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def events(self, conversation_id: str, *kinds: str) -> list[dict[str, Any]]:
        """All its events (of these kinds), by position."""
        path = f"/v1/conversations/{conversation_id}/events"
        after, found = 0, []
        while True:
            page = await self._get(path, after=after, limit=1000, kind=list(kinds))
            found += page["items"]
            if page.get("next") is None or not page["items"]:
                return found
            after = int(page["next"])

    async def _get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self._http.get(path, params=params)
        answer.raise_for_status()
        return dict(answer.json())


def outbox_headers(folder: Path) -> dict[Path, Mapping[str, Any]]:
    """The header of every outbox file that is not settled yet."""
    found: dict[Path, Mapping[str, Any]] = {}
    for path in folder.glob("*.outbox"):
        try:
            data = path.read_bytes()[:8192]
            length = int.from_bytes(data[12:16], "little")
            found[path] = json.loads(data[_HEADER_AT : _HEADER_AT + length])
        except (OSError, ValueError):
            continue
    return found


def job_pid(folder: Path, room: str) -> int | None:
    """The process that serves a room: it holds the outbox whose header names it."""
    for path, header in outbox_headers(folder).items():
        if header.get("room") == room and (pid := _holder_of(path)) is not None:
            return pid
    return None


def kill_job(folder: Path, room: str) -> int:
    """End the process that serves a room as a crash does (SIGKILL); return its id."""
    pid = job_pid(folder, room)
    if pid is None:
        raise LookupError(f"no process serves {room}")
    os.kill(pid, signal.SIGKILL)
    return pid


def _holder_of(path: Path) -> int | None:
    """The process that writes a file. The relay reads it as well, so look for append mode."""
    target = str(path.resolve())
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for fd in (process / "fd").iterdir():
                if str(fd.readlink()) == target and _appends(process / "fdinfo" / fd.name):
                    return int(process.name)
        except OSError:
            continue
    return None


def _appends(fdinfo: Path) -> bool:
    flags = next(
        line.split()[1] for line in fdinfo.read_text().splitlines() if line.startswith("flags:")
    )
    return bool(int(flags, 8) & os.O_APPEND)
