"""Health: is the process alive, and could it store something now."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.api import body
from backend.api.contract import described
from backend.api.parameters import storage
from backend.api.shapes import HealthOut

router = APIRouter(tags=["health"])


@router.get("/healthz", **described(answers={200: HealthOut}))
async def alive() -> Response:
    """Answer while the process does."""
    return body.answer(HealthOut(status="ok"))


@router.get("/readyz", **described(answers={200: HealthOut}))
async def ready(request: Request) -> Response:
    """Answer 200 when the database takes writes, else 503."""
    await storage(request).ping()
    return body.answer(HealthOut(status="ok"))
