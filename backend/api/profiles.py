"""Routes of profiles: what is kept about a person between calls."""

import re
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header, Path, Request
from starlette.responses import Response

from backend.api import body
from backend.api.auth import MayRead, MayWrite
from backend.api.contract import described
from backend.api.parameters import storage
from backend.api.shapes import ProfileIn, ProfileOut
from backend.clock import now_ms, rfc3339
from backend.errors import Denied, Malformed, NotFound, TooLarge
from backend.rules.events import TOO_DEEP, canonical, is_too_deep
from backend.storage.records import Expected, Profile

router = APIRouter(prefix="/v1", tags=["profiles"])

MAX_BYTES: Final = 64 * 1024
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')
_ETAG: Final[dict[str, Any]] = {  # Any: OpenAPI
    "ETag": {"description": "Send it as If-Match", "schema": {"type": "string"}}
}

Identity = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]
IfMatch = Annotated[str | None, Header()]


def _described(answers: dict[int, type[msgspec.Struct]], **more: Any) -> dict[str, Any]:
    made = described(answers=answers, **more)
    made["responses"][200]["headers"] = _ETAG
    return made


@router.get("/profiles/{identity:path}", **_described({200: ProfileOut}))
async def get_profile(request: Request, token: MayRead, identity: Identity) -> Response:
    """Read a profile."""
    if token.scope == "call":
        raise Denied("scope", "a token of scope call may not read profiles")
    found = await storage(request).profile(token.tenant, identity)
    if found is None:
        raise NotFound("unknown_profile", "nothing is kept about this identity")
    return _answer(found)


@router.put("/profiles/{identity:path}", **_described({200: ProfileOut}, body=ProfileIn))
async def put_profile(
    request: Request,
    token: MayWrite,
    identity: Identity,
    if_match: IfMatch = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Write a profile whole; If-Match: only if it is still that one. A repeat changes nothing."""
    wanted = await body.read(request, ProfileIn)
    if is_too_deep(wanted.context) or is_too_deep(wanted.preferences):
        raise Malformed("malformed", TOO_DEEP)
    kept = canonical({"context": wanted.context, "preferences": wanted.preferences})
    if len(kept) > MAX_BYTES:
        raise TooLarge("profile_too_large", f"a profile has at most {MAX_BYTES} bytes")
    profile = Profile(
        identity=identity,
        body=kept,
        etag=f'"{sha256(kept).hexdigest()[:32]}"',
        updated_ms=now_ms(),
    )
    expected = _expected(if_match, if_none_match)
    await storage(request).put_profile(token.tenant, profile, expected)
    stored = await storage(request).profile(token.tenant, identity)
    return _answer(stored if stored is not None and stored.etag == profile.etag else profile)


def _expected(if_match: str | None, if_none_match: str | None) -> Expected:
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise Malformed("malformed", "If-None-Match: only * is understood, without If-Match")
        return Expected(exists=False)
    if if_match is None:
        return Expected()
    if if_match.strip() == "*":
        return Expected(exists=True)
    tags = _TAG.findall(if_match)
    if not tags or _TAG.sub("", if_match).strip(" ,\t"):
        raise Malformed("malformed", 'If-Match: entity tags are needed, like "abc", or *')
    return Expected(etags=frozenset(tags))  # a weak one (W/) never matches: ours are strong


def _answer(profile: Profile) -> Response:
    fields = msgspec.json.decode(profile.body, type=ProfileIn)
    shown = ProfileOut(
        identity=profile.identity,
        context=fields.context,
        preferences=fields.preferences,
        updated_at=rfc3339(profile.updated_ms),
    )
    answer = body.answer(shown)
    answer.headers["ETag"] = profile.etag
    return answer
