"""Errors as ``application/problem+json`` (RFC 9457). Status 422 never leaves this program."""

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend import errors
from backend.api.shapes import ProblemItem, ProblemOut

log = logging.getLogger(__name__)

STATUS: Final[Mapping[type[errors.BackendError], int]] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.NotBuilt: 501,
    errors.Unavailable: 503,
}
TITLES: Final[Mapping[int, str]] = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Too large",
    415: "Unsupported content type",
    500: "Internal error",
    501: "Not built yet",
    503: "Unavailable",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    items: tuple[errors.ItemError, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a problem answer."""
    body = ProblemOut(
        type="about:blank",
        title=TITLES.get(status, "Error"),
        status=status,
        detail=detail,
        code=code,
        errors=[ProblemItem(index=i.index, code=i.code, detail=i.detail) for i in items],
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/problem+json",
        headers=dict(headers or {}),
    )


async def _ours(_: Request, exc: Exception) -> Response:
    if not isinstance(exc, errors.BackendError):
        raise exc
    status = next((s for kind, s in STATUS.items() if isinstance(exc, kind)), 500)
    headers = {}
    if isinstance(exc, errors.Unavailable):
        headers["Retry-After"] = str(exc.retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(status, exc.code, exc.detail, items=exc.errors, headers=headers)


async def _parameters(_: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    said = [f"{'.'.join(str(p) for p in e['loc'][1:])}: {e['msg']}" for e in exc.errors()]
    return problem(400, "malformed", "; ".join(said))


async def _http(_: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(exc.status_code, "http")
    return problem(exc.status_code, code, str(exc.detail), headers=exc.headers)


async def _unexpected(request: Request, exc: Exception) -> Response:
    log.error(
        "request failed",
        extra={"op": request.method, "error_type": type(exc).__name__},
        exc_info=exc,
    )
    return problem(500, "internal", "the backend failed; its log says why")


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(errors.BackendError, _ours)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
