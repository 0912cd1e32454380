"""What Redis does in one step: scripts, so that nobody comes between a check and its write.

An entry of the tail is ``WRITER FENCE ORDINAL\\n`` and behind it the outbox's exact bytes. The head
has ``writer``, ``fence`` and ``ordinal`` of the newest entry, and

- ``first``: the writer's ordinal that the tail began with; ``origin`` 1: nothing came before it
- ``stale`` 1: a writer with a lower fence had something that is not in the tail
- ``highest``: the highest fence that Redis has seen
- ``h:WRITER``: the header of its outbox; ``o:WRITER``: how far it came before another took over;
  ``a:WRITER``: how far the backend has acknowledged it

A list without its head, or a head without its list, is what an eviction left: it begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Protocol

Word = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name that Redis gives it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


class Scripts(Protocol):
    """What runs them (``hot_client.HotClient``); who only needs this imports no Redis client."""

    @property
    def rest_left_s(self) -> float:
        """Seconds until the next call will be tried; 0 when it is worth trying now."""
        ...

    async def run(
        self, op: str, script: Script, keys: Sequence[str], args: Sequence[Word] = ()
    ) -> Any:  # Any: what Lua answers; each caller knows its script
        """Run ``script``. Raises ``LayerUnavailable``: go on without it."""
        ...


APPEND = Script("""
-- head, tail | writer, fence, header, origin, ttl_s, most, first ordinal, payloads
local head, tail = KEYS[1], KEYS[2]
local me, fence, first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[7])
local last = first + #ARGV - 8
local had = redis.call('HMGET', head, 'writer', 'fence', 'ordinal')
local writer = had[1]
if writer and writer ~= me and fence <= tonumber(had[2]) then
  local seen = tonumber(redis.call('HGET', head, 'o:' .. me) or '0')
  if last <= seen then return {'seen', seen} end
  redis.call('HSET', head, 'stale', '1')
  return {'fenced', tonumber(had[2])}
end
local held = 0
if not writer or redis.call('EXISTS', tail) == 0 then
  redis.call('DEL', tail)
  held = first - 1
  local origin = '0'
  if first == 1 then origin = ARGV[4] end
  redis.call('HSET', head, 'writer', me, 'fence', ARGV[2], 'h:' .. me, ARGV[3],
    'first', ARGV[7], 'origin', origin, 'stale', '0')
elseif writer ~= me then
  if first > 1 then return {'gap', 0} end
  redis.call('HSET', head, 'writer', me, 'fence', ARGV[2], 'h:' .. me, ARGV[3],
    'o:' .. writer, had[3])
else
  held = tonumber(had[3])
  if fence > tonumber(had[2]) then redis.call('HSET', head, 'fence', ARGV[2]) end
end
if last <= held then return {'seen', held} end
if first > held + 1 then return {'gap', held} end
local prefix = me .. ' ' .. ARGV[2] .. ' '
local length = 0
for i = held + 1, last do
  local entry = prefix .. string.format('%d', i) .. '\\n' .. ARGV[8 + i - first]
  length = redis.call('RPUSH', tail, entry)
end
if length > tonumber(ARGV[6]) then
  redis.call('LTRIM', tail, -tonumber(ARGV[6]), -1)
  redis.call('HSET', head, 'origin', '0')
end
redis.call('HSET', head, 'ordinal', string.format('%d', last))
redis.call('EXPIRE', head, ARGV[5])
redis.call('EXPIRE', tail, ARGV[5])
return {'stored', last}
""")

READ = Script("""
-- head, tail | most entries
return {redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], -tonumber(ARGV[1]), -1),
  redis.call('LLEN', KEYS[2])}
""")

NOTE = Script("""
-- head, tail | writer, acknowledged ordinal
local had = redis.call('HMGET', KEYS[1], 'writer', 'ordinal', 'o:' .. ARGV[1], 'a:' .. ARGV[1])
if not had[1] or redis.call('EXISTS', KEYS[2]) == 0 then return {'absent', 0} end
if tonumber(ARGV[2]) > tonumber(had[4] or '0') then
  redis.call('HSET', KEYS[1], 'a:' .. ARGV[1], ARGV[2])
end
if had[1] == ARGV[1] then return {'owner', tonumber(had[2])} end
return {'other', tonumber(had[3] or '0')}
""")

REBUILD = Script("""
-- head, tail | writer, fence, header, origin, ttl_s, entries. What the backend gave it has
local had = redis.call('HMGET', KEYS[1], 'writer', 'fence', 'highest')
if had[1] and (had[1] == ARGV[1] or tonumber(ARGV[2]) <= tonumber(had[2])) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
for i = 6, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
  local who, ordinal = string.match(ARGV[i], '^(%S+) %d+ (%d+)\\n')
  local acknowledged = tonumber(redis.call('HGET', KEYS[1], 'a:' .. who) or '0')
  if tonumber(ordinal) > acknowledged then redis.call('HSET', KEYS[1], 'a:' .. who, ordinal) end
end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'fence', ARGV[2], 'h:' .. ARGV[1], ARGV[3],
  'ordinal', '0', 'first', '1', 'origin', ARGV[4], 'stale', '0', 'highest', had[3] or ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
""")

RENEW = Script("""
-- lease, head | writer, fence, lease_ms, ttl_s
local holder = redis.call('GET', KEYS[1])
local highest = tonumber(redis.call('HGET', KEYS[2], 'highest') or '0')
if holder then
  local who, fence = string.match(holder, '^(%S+) (%d+)$')
  if who ~= ARGV[1] then return {'held', tonumber(fence), highest} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[2]) > highest then
  redis.call('HSET', KEYS[2], 'highest', ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  highest = tonumber(ARGV[2])
end
return {'ours', tonumber(ARGV[2]), highest}
""")

RELEASE = Script("""
-- lease | writer
local holder = redis.call('GET', KEYS[1])
if holder and string.match(holder, '^(%S+) ') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

CLAIM = Script("""
-- head | the writer's start in unix ms, ttl_s
local highest = tonumber(redis.call('HGET', KEYS[1], 'highest') or '0')
local fence = math.max(highest + 1, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'highest', string.format('%d', fence))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return fence
""")

SAVE = Script("""
-- handle | fence, payload, ttl_ms
local held = redis.call('GET', KEYS[1])
if held and tonumber(ARGV[1]) < tonumber(string.match(held, '^(%d+) ')) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
""")

TAKE = Script("""
-- handle | . The fence stays, so that an older writer cannot put its own in the free place
local held = redis.call('GET', KEYS[1])
if not held then return false end
local fence = string.match(held, '^(%d+) ')
redis.call('SET', KEYS[1], fence .. ' ', 'KEEPTTL')
return string.sub(held, #fence + 2)
""")
