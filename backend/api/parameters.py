"""Path and query parameters that several routes share."""

from typing import Annotated

from fastapi import Path, Query, Request

from backend.settings import Settings
from backend.storage.ports import Storage

_ID = r"^[A-Za-z0-9_-]{1,64}$"
BIG = 2**53 - 1

ConversationId = Annotated[str, Path(pattern=_ID)]
WriterId = Annotated[str, Path(pattern=_ID)]
Room = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
Position = Annotated[int, Query(ge=0, le=BIG)]
SessionNumber = Annotated[int | None, Query(ge=0, le=BIG)]
Cursor = Annotated[str | None, Query(pattern=_ID)]


def storage(request: Request) -> Storage:
    """Find the storage of the application."""
    found: Storage = request.app.state.storage
    return found


def settings(request: Request) -> Settings:
    """Find the settings of the application."""
    found: Settings = request.app.state.settings
    return found
