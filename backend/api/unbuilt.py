"""What the API promises and this version does not have yet: 501, for those who may ask at all."""

from fastapi import APIRouter

from backend.api.auth import MayRead, MayWrite
from backend.api.parameters import ConversationId
from backend.errors import NotBuilt

router = APIRouter(prefix="/v1", tags=["not built yet"])


def _not_yet(what: str) -> NotBuilt:
    return NotBuilt("not_built", f"{what}: specified, not built yet")


@router.post("/conversations/{conversation_id}/fork", response_model=None)
async def fork(token: MayWrite, conversation_id: ConversationId) -> None:
    """Copy a conversation."""
    raise _not_yet("fork")


@router.get("/conversations/{conversation_id}/export", response_model=None)
async def export(token: MayRead, conversation_id: ConversationId) -> None:
    """Export a conversation as JSON lines."""
    raise _not_yet("export")


@router.get("/conversations/{conversation_id}/search", response_model=None)
async def search(token: MayRead, conversation_id: ConversationId) -> None:
    """Search a conversation."""
    raise _not_yet("search")


@router.get("/profiles/{identity}", response_model=None)
async def get_profile(token: MayRead, identity: str) -> None:
    """Read a profile."""
    raise _not_yet("profiles")


@router.put("/profiles/{identity}", response_model=None)
async def put_profile(token: MayWrite, identity: str) -> None:
    """Write a profile."""
    raise _not_yet("profiles")
