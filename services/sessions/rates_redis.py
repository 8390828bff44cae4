"""Message rates that all replicas share, in Redis: one hash per user, messages by second of Redis' clock.

While Redis is away each process counts for itself. It counts along always, so that it knows its own part by then.
"""

from typing import cast

from kit.identity import Owner
from services.sessions.rates import WINDOW_SECONDS, Full, LocalMessageRates
from services.sessions.redis_link import RedisLink

# As `rates.admit`. KEYS: the user's. ARGV: messages, limit, seconds of the window.
_TAKE = """
local messages, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second + tonumber(time[2]) / 1000000
local used, seconds, counts = 0, {}, {}
local held = redis.call('HGETALL', KEYS[1])
for at = 1, #held, 2 do
    local each = tonumber(held[at])
    -- Later than now: the clock was set back. It counts as nothing, else it might bar the user for long.
    if each <= now - window - 1 or each > second + 1 then
        redis.call('HDEL', KEYS[1], held[at])
    else
        seconds[#seconds + 1], counts[each], used = each, tonumber(held[at + 1]), used + tonumber(held[at + 1])
    end
end
if used == 0 or used + messages <= limit then
    redis.call('HINCRBY', KEYS[1], second, messages)
    redis.call('EXPIRE', KEYS[1], window + 2)
    return {used, 0}
end
table.sort(seconds)
local left = used
for _, each in ipairs(seconds) do
    left = left - counts[each]
    if left == 0 or left + messages <= limit then
        return {used, math.max(1, math.ceil(each + 1 + window - now))}
    end
end
"""


class RedisMessageRates:
    def __init__(self, link: RedisLink, local: LocalMessageRates) -> None:
        self._link, self._local = link, local
        self._take = link.redis.register_script(_TAKE)

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()

    async def take(self, user: Owner, messages: int, limit: int) -> Full | None:
        # Neither a tenant's nor a user's name can hold a colon.
        key = f"sessions:rate:{user.tenant}:{user.user}"

        async def ask() -> list[int] | None:
            return cast(list[int], await self._take(keys=[key], args=[messages, limit, WINDOW_SECONDS]))

        answer = await self._link.ask(ask, None)
        if answer is None:
            return await self._local.take(user, messages, limit)
        used, retry_after = answer
        if retry_after:
            return Full(used, retry_after)
        self._local.count(user, messages)
        return None
