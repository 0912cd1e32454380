"""Reading a request's JSON and writing an answer's, by msgspec: the hot route decides the way."""

from typing import Final, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from backend.errors import Malformed, TooLarge, Unsupported

T = TypeVar("T")

MAX_BODY_BYTES: Final = 1024 * 1024
_TOO_LARGE: Final = f"a request has at most {MAX_BODY_BYTES} bytes"


async def read(request: Request, shape: type[T], *, empty: T | None = None) -> T:
    """Read a request's body as ``shape``; ``empty`` stands for no body at all.

    Raises TooLarge before more than the limit was read, Unsupported, Malformed.
    """
    raw = await _bytes(request)
    if not raw and empty is not None:
        return empty
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Unsupported("content_type", "send application/json")
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:  # ValidationError is one of these
        raise Malformed("malformed", f"the body cannot be read: {exc}") from exc
    except RecursionError as exc:
        raise Malformed("malformed", "the body is nested too deeply") from exc


async def _bytes(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise TooLarge("body_too_large", _TOO_LARGE)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLarge("body_too_large", _TOO_LARGE)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def answer(shape: msgspec.Struct, status: int = 200) -> Response:
    """Write an answer."""
    return Response(msgspec.json.encode(shape), status_code=status, media_type="application/json")
