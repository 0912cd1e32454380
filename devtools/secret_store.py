"""Secrets of ``run``: random, made at first run, readable by the owner only."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from devtools.errors import DevError


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """What this checkout's system knows and nobody else. ``backend_token``: once it was made."""

    livekit_key: str
    livekit_secret: str
    redis_password: str
    backend_token: str | None = None


def load(path: Path) -> Secrets:
    """Read the secrets; make them where there are none.

    Raises:
        DevError: the file is damaged.
    """
    try:
        held = json.loads(path.read_text())
        return Secrets(**{one.name: held[one.name] for one in fields(Secrets)})
    except FileNotFoundError:
        made = Secrets(
            livekit_key="TL" + secrets.token_hex(8),
            livekit_secret=secrets.token_urlsafe(32),
            redis_password=secrets.token_urlsafe(24),
        )
        save(path, made)
        return made
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DevError(f"{path} cannot be read: delete it, new secrets are made then") from exc


def remember_token(path: Path, held: Secrets, token: str) -> None:
    """Keep the admin token of the database for the next run."""
    if held.backend_token != token:
        save(path, replace(held, backend_token=token))


def save(path: Path, what: Secrets) -> None:
    """Replace the file whole."""
    write_private(path, json.dumps(asdict(what), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file whole; only the owner can read it, at no moment anyone else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(text)
    new.replace(path)
