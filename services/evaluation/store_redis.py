"""The metrics store on Redis: one hash per tenant, one round trip per call."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from redis.asyncio import Redis

from bureau_contracts.evaluation import Metric
from kit.errors import Unavailable
from kit.redis import REDIS_FAILURES
from services.evaluation.store import MetricKindDiffers, Series, TooManySeries

# Fields of a tenant's hash: `kind:<name>`, `sum:<series>`, `count:<series>`, and `series`, how many there are.
# A script, so that looking at the limit and adding are one step, also with many writers.
_ADD = """
local kind = redis.call('HGET', KEYS[1], 'kind:' .. ARGV[1])
if kind and kind ~= ARGV[2] then return 'kind' end
if redis.call('HEXISTS', KEYS[1], 'count:' .. ARGV[3]) == 0 then
    if tonumber(redis.call('HGET', KEYS[1], 'series') or '0') >= tonumber(ARGV[5]) then return 'full' end
    redis.call('HINCRBY', KEYS[1], 'series', 1)
    redis.call('HSET', KEYS[1], 'kind:' .. ARGV[1], ARGV[2])
end
redis.call('HINCRBYFLOAT', KEYS[1], 'sum:' .. ARGV[3], ARGV[4])
redis.call('HINCRBY', KEYS[1], 'count:' .. ARGV[3], 1)
return 'ok'
"""
_COUNTER, _OBSERVED = "counter", "observed"


class RedisStore:
    def __init__(self, redis: "Redis", max_series: int) -> None:
        self._redis, self._max_series = redis, max_series
        self._add = redis.register_script(_ADD)

    async def add(self, tenant: str, series: Series, value: float) -> None:
        kind = _OBSERVED if series.observed else _COUNTER
        with _away_is_unavailable():
            outcome = await self._add(
                keys=[_key(tenant)], args=[series.name, kind, _text(series), repr(value), self._max_series]
            )
        if outcome == "kind":
            raise MetricKindDiffers(f"{series.name} was recorded before with observe={not series.observed}")
        if outcome == "full":
            raise TooManySeries(f"there are {self._max_series} metrics already: use fewer labels, or fewer values")

    async def all(self, tenant: str) -> list[Metric]:
        with _away_is_unavailable():
            fields = cast(dict[str, str], await self._redis.hgetall(_key(tenant)))
        return sorted(_metrics(fields), key=lambda metric: (metric.name, tuple(metric.labels.items())))

    async def ping(self) -> str:
        await self._redis.ping()
        return ""


def _key(tenant: str) -> str:
    return f"evaluation:metrics:{tenant}"


def _text(series: Series) -> str:
    return json.dumps([series.name, series.labels], ensure_ascii=False, separators=(",", ":"))


def _metrics(fields: dict[str, str]) -> Iterator[Metric]:
    for field, count in fields.items():
        if field.startswith("count:"):
            text = field.removeprefix("count:")
            name, labels = json.loads(text)
            yield Metric(
                name=name,
                labels=dict(labels),
                value=float(fields[f"sum:{text}"]),
                count=int(count),
                observed=fields[f"kind:{name}"] == _OBSERVED,
            )


@contextmanager
def _away_is_unavailable() -> Iterator[None]:
    try:
        yield
    except REDIS_FAILURES as error:
        raise Unavailable("the metrics store is away") from error
