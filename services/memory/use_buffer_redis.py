"""Buffered uses in Redis: one hash per tenant, by use ID, and a sorted list of IDs by time that bounds it.

A hash and not a stream: a use is then dropped, erased and pushed twice by its own ID, with nothing to look up.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from redis.asyncio import Redis

from kit.identity import Owner
from kit.redis import REDIS_FAILURES
from services.memory.uses import BufferAway, Use

MAX_PER_TENANT = 10_000
KEPT_SECONDS = 7 * 24 * 3600
"""After so long without a new use nobody will write a tenant's any more."""
_TENANTS = "memory:uses"

# KEYS: hash, order. ARGV: the most, the seconds, then ID, moment and text of each use.
_PUSH = """
for place = 3, #ARGV, 3 do
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 2])
    redis.call('ZADD', KEYS[2], ARGV[place + 1], ARGV[place])
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if over > 0 then
    for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do redis.call('HDEL', KEYS[1], old) end
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
"""


class RedisUseBuffer:
    def __init__(self, redis: "Redis", max_per_tenant: int = MAX_PER_TENANT) -> None:
        self._redis, self._most = redis, max_per_tenant
        self._push = redis.register_script(_PUSH)

    async def push(self, uses: Sequence[Use]) -> None:
        with _away():
            for tenant in {use.owner.tenant for use in uses}:
                values: list[str | float] = [self._most, KEPT_SECONDS]
                for use in uses:
                    if use.owner.tenant == tenant:
                        values += [use.use_id, use.at.timestamp(), _written(use)]
                await self._redis.sadd(_TENANTS, tenant)
                await self._push(keys=_keys(tenant), args=values)

    async def take(self, limit: int) -> list[Use]:
        found: list[Use] = []
        with _away():
            for tenant in sorted(cast(set[str], await self._redis.smembers(_TENANTS))):
                uses, order = _keys(tenant)
                ids = cast(list[str], await self._redis.zrange(order, 0, limit - len(found) - 1))
                if not ids:
                    await self._redis.srem(_TENANTS, tenant)
                    if await self._redis.exists(order):  # a use came between the two
                        await self._redis.sadd(_TENANTS, tenant)
                    continue
                written = cast(Sequence[str | None], await self._redis.hmget(uses, ids))
                found += [_read(tenant, text) for text in written if text is not None]
                if len(found) >= limit:
                    break
        return found

    async def drop(self, uses: Sequence[Use]) -> None:
        with _away():
            for tenant in {use.owner.tenant for use in uses}:
                await self._remove(tenant, [use.use_id for use in uses if use.owner.tenant == tenant])

    async def erase(self, owner: Owner) -> None:
        with _away():
            everything = cast(dict[str, str], await self._redis.hgetall(_keys(owner.tenant)[0]))
            own = [use_id for use_id, text in everything.items() if _read(owner.tenant, text).owner == owner]
            if own:
                await self._remove(owner.tenant, own)

    async def _remove(self, tenant: str, use_ids: Sequence[str]) -> None:
        uses, order = _keys(tenant)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hdel(uses, *use_ids)
            pipeline.zrem(order, *use_ids)
            await pipeline.execute()

    async def ping(self) -> str:
        await self._redis.ping()
        return ""


def _keys(tenant: str) -> list[str]:
    return [f"memory:uses:{{{tenant}}}", f"memory:uses:{{{tenant}}}:order"]


def _written(use: Use) -> str:
    fields = [use.use_id, use.owner.user, use.trace_id, use.agent, use.query, use.at.isoformat(), use.given]
    return json.dumps(fields)


def _read(tenant: str, written: str) -> Use:
    use_id, user, trace_id, agent, query, at, given = cast(list[Any], json.loads(written))
    results = tuple((memory_id, score) for memory_id, score in given)
    return Use(use_id, Owner(tenant, user), trace_id, agent, query, datetime.fromisoformat(at), results)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except REDIS_FAILURES as error:
        raise BufferAway(type(error).__name__) from error
