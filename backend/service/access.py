"""Tokens: made here, hashed at rest, looked up by their hash.

A token is remembered for a few seconds after it was read, because the hot route asks for it with
every batch; a token that is withdrawn in the database works that much longer.
"""

from collections import OrderedDict
from hashlib import sha256
from typing import Final, Literal, get_args

from backend.clock import monotonic_s, new_id, new_secret, now_ms
from backend.errors import Denied, Unauthenticated
from backend.storage.ports import Tokens
from backend.storage.records import Reader, Scope, Token

Need = Literal["read", "write", "call"]
"""What an endpoint asks for: to read, to write as an agent does, to make calls."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
_ALLOWED: Final[dict[Need, frozenset[Scope]]] = {
    "read": frozenset(SCOPES),
    "call": frozenset({"call", "agent", "admin"}),
    "write": frozenset({"agent", "admin"}),
}
_REMEMBERED_S: Final = 5.0
_REMEMBERED_COUNT: Final = 1_024


class Access:
    """Who asks, and whether they may."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._recent: OrderedDict[bytes, tuple[float, Token]] = OrderedDict()

    async def create(self, tenant: str, scope: Scope, ttl_s: int | None) -> str:
        """Make a token; return its secret, which is stored nowhere and shown this once."""
        secret = f"tl_{scope}_{new_secret()}"
        now = now_ms()
        token = Token(
            token_id=new_id(),
            tenant=tenant,
            scope=scope,
            expires_ms=None if ttl_s is None else now + ttl_s * 1000,
        )
        await self._tokens.add_token(_digest(secret), token, now)
        return secret

    async def allow(self, secret: str | None, need: Need) -> Token:
        """Return the token of a request; raise Unauthenticated or Denied."""
        if not secret:
            raise Unauthenticated("no_token", "this needs an Authorization: Bearer token")
        token = await self._find(_digest(secret))
        if token is None:
            raise Unauthenticated("unknown_token", "this token is not known here")
        if token.expires_ms is not None and token.expires_ms <= now_ms():
            raise Unauthenticated("expired_token", "this token has expired: get a new one")
        if token.scope not in _ALLOWED[need]:
            raise Denied("scope", f"a token of scope {token.scope} may not do this")
        return token

    async def _find(self, digest: bytes) -> Token | None:
        now = monotonic_s()
        remembered = self._recent.get(digest)
        if remembered is not None and now - remembered[0] < _REMEMBERED_S:
            return remembered[1]
        token = await self._tokens.token(digest)
        if token is not None:
            self._recent[digest] = (now, token)
            self._recent.move_to_end(digest)
            if len(self._recent) > _REMEMBERED_COUNT:
                self._recent.popitem(last=False)
        return token


def reader(token: Token) -> Reader:
    """Say which conversations a token may see: a ``call`` token, only those it opened."""
    opened_by = token.token_id if token.scope == "call" else None
    return Reader(tenant=token.tenant, opened_by=opened_by)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
