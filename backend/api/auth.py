"""Who asks: the Bearer token of a request, as a dependency of each route."""

from typing import Annotated

from fastapi import Depends, Request

from backend.service.access import Access, Need
from backend.storage.records import Token


async def allow(request: Request, need: Need) -> Token:
    """Return the token of a request; raise Unauthenticated or Denied."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    access: Access = request.app.state.access
    return await access.allow(secret.strip() if scheme.lower() == "bearer" else None, need)


async def _read(request: Request) -> Token:
    return await allow(request, "read")


async def _write(request: Request) -> Token:
    return await allow(request, "write")


async def _call(request: Request) -> Token:
    return await allow(request, "call")


MayRead = Annotated[Token, Depends(_read)]
MayWrite = Annotated[Token, Depends(_write)]
MayCall = Annotated[Token, Depends(_call)]
