"""Tails in Redis: one hash per session, `s` its stamp, `m` and `i` lines of JSON. Guarded by the stamp, in Lua.

A hash without lines is a floor: it says that nothing older than its stamp may be kept any more. `x` says that the tail
of this stamp is too large to be kept.
"""

from typing import cast

from kit.ids import new_id
from kit.logs import get_logger
from services.sessions.record import SessionRecord
from services.sessions.redis_link import RedisLink
from services.sessions.tails import KEPT, MAX_BYTES, KeptTail, Place, Tail, last_stamp, lines_of, stamp_of

log = get_logger(__name__)

FLOOR_SECONDS = 600
"""How long a floor after a change is kept. After an erasure it is kept as long as a tail would be."""
CLAIM_SECONDS = 1.0
OWED = 10_000
"""Removals that are remembered while Redis is away; beyond it they wait for the tails' time to live."""

# KEYS: the tail, the claim. ARGV: stamp, messages, invocations, seconds, and "x" when they are too large to be kept.
_KEEP = """
redis.call('DEL', KEYS[2])
local held = redis.call('HGET', KEYS[1], 's')
if held and held > ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 's', ARGV[1], 'm', ARGV[2], 'i', ARGV[3])
if ARGV[5] then redis.call('HSET', KEYS[1], 'x', '1') end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""

# KEYS: the tail. ARGV: stamp before, stamp after, messages, invocations, seconds, seconds of a floor, how many are
# kept, how many bytes, whether there was nothing before.
_EXTEND = """
local function last(lines, kept)
    local _, count = string.gsub(lines, '\\n', '')
    local from = 1
    for _ = 1, count - kept do from = string.find(lines, '\\n', from, true) + 1 end
    return string.sub(lines, from)
end

local held = redis.call('HMGET', KEYS[1], 's', 'm', 'i', 'x')
if held[1] and held[1] >= ARGV[2] then return 0 end
if not held[1] and ARGV[9] == '1' then held = {ARGV[1], '', ''} end
if held[1] == ARGV[1] and held[2] and not held[4] then
    local messages = last(held[2] .. ARGV[3], tonumber(ARGV[7]))
    local invocations = last(held[3] .. ARGV[4], tonumber(ARGV[7]))
    if #messages + #invocations <= tonumber(ARGV[8]) then
        redis.call('HSET', KEYS[1], 's', ARGV[2], 'm', messages, 'i', invocations)
        redis.call('EXPIRE', KEYS[1], ARGV[5])
        return 1
    end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 's', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[6])
return 0
"""

# KEYS: the tail. ARGV: the least stamp of the floor, what makes the last stamp of the held incarnation, seconds.
_FORGET = """
local floor = ARGV[1]
local held = redis.call('HGET', KEYS[1], 's')
if held and held > floor then floor = string.sub(held, 1, #held - #ARGV[2]) .. ARGV[2] end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 's', floor)
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""

# KEYS: the tail, the claim. ARGV: the stamp, milliseconds.
_CLAIM = """
local held = redis.call('HMGET', KEYS[1], 's', 'm')
if held[1] == ARGV[1] and held[2] then return 0 end
return redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
"""


class RedisTails:
    def __init__(self, link: RedisLink, *, ttl_seconds: int) -> None:
        self._link, self._ttl = link, ttl_seconds
        self._redis = link.redis
        self._keep, self._extend = self._redis.register_script(_KEEP), self._redis.register_script(_EXTEND)
        self._forget, self._take = self._redis.register_script(_FORGET), self._redis.register_script(_CLAIM)
        self._owed: dict[Place, None] = {}
        link.when_back(self._pay)

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()

    async def find(self, place: Place) -> KeptTail | None:
        async def read() -> list[str | None]:
            return cast(list[str | None], await self._redis.hmget(_key(place), ["s", "m", "i", "x"]))

        stamp, messages, invocations, too_large = await self._link.ask(read, list[str | None]([None] * 4))
        if stamp is None or messages is None or invocations is None:
            return None
        return KeptTail(stamp, _lines(messages), _lines(invocations), too_large is not None)

    async def keep(self, place: Place, tail: Tail) -> None:
        messages, invocations = lines_of(tail.messages), lines_of(tail.invocations)
        args: list[str | int] = [tail.stamp, messages, invocations, self._ttl]
        if not _fits(messages, invocations):
            args = [tail.stamp, "", "", self._ttl, "x"]
        keys = [_key(place), _claim(place)]
        await self._link.ask(lambda: self._keep(keys=keys, args=args), None)

    async def extend(self, place: Place, before: SessionRecord | None, after: Tail) -> None:
        messages, invocations = lines_of(after.messages[-KEPT:]), lines_of(after.invocations[-KEPT:])
        if before is None or not _fits(messages, invocations):
            known, messages, invocations, new = "", "", "", False
        else:
            known, new = stamp_of(before), before.session.message_count == before.invocation_count == 0
        args: list[str | int] = [
            known,
            after.stamp,
            messages,
            invocations,
            self._ttl,
            FLOOR_SECONDS,
            KEPT,
            MAX_BYTES,
            int(new),
        ]
        await self._link.ask(lambda: self._extend(keys=[_key(place)], args=args), None)

    async def forget(self, place: Place) -> None:
        if not await self._forgotten(place):
            if len(self._owed) < OWED:
                self._owed[place] = None
            else:
                log.warning("cache_removal_dropped", kept=OWED)

    async def claim(self, place: Place, stamp: str) -> bool:
        async def take() -> bool:
            keys = [_key(place), _claim(place)]
            return bool(await self._take(keys=keys, args=[stamp, round(CLAIM_SECONDS * 1000)]))

        return await self._link.ask(take, otherwise=True)

    async def _forgotten(self, place: Place) -> bool:
        floor = last_stamp(new_id("life"))
        args: list[str | int] = [floor, floor.partition(".")[2], self._ttl]

        async def remove() -> bool:
            await self._forget(keys=[_key(place)], args=args)
            return True

        return await self._link.ask(remove, otherwise=False)

    async def _pay(self) -> None:
        """Makes up for the removals of the time that Redis was away."""
        while self._owed:
            place = next(iter(self._owed))
            if not await self._forgotten(place):
                return
            del self._owed[place]


def _lines(text: str) -> list[str]:
    # Not str.splitlines: it also ends lines where JSON does not, at U+2028 for one.
    return text.split("\n")[:-1]


def _fits(messages: str, invocations: str) -> bool:
    return len(messages) + len(invocations) <= MAX_BYTES


def _key(place: Place) -> str:
    # The braces make a Redis Cluster keep both keys of a session in one slot.
    return f"sessions:tail:{{{place.tenant}:{place.session_id}}}"


def _claim(place: Place) -> str:
    return f"sessions:claim:{{{place.tenant}:{place.session_id}}}"
