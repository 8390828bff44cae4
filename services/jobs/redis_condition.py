"""Whether Redis is set up to keep what jobs tell it, as far as it says so. Where CONFIG is forbidden, INFO must do."""

from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from redis.utils import HIREDIS_AVAILABLE

from kit.logs import get_logger
from kit.redis import at_home_of
from services.jobs.errors import StoreAway
from services.jobs.library import PREFIX
from services.jobs.redis_away import store_away

log = get_logger(__name__)

_FSYNC = {
    "everysec": "appendfsync everysec: the last second may be lost when the machine stops; `always` loses nothing",
    "no": "appendfsync no: half a minute may be lost when the machine stops; `always` loses nothing",
}


@dataclass
class Condition:
    advice: list[str] = field(default_factory=list)
    """What to set, so that no job is lost or refused."""
    notes: list[str] = field(default_factory=list)
    """What to know."""


async def condition_of(redis: "Redis") -> Condition:
    """Of the server that holds the jobs. Raises StoreAway."""
    with store_away():
        home = await at_home_of(redis, PREFIX)
        facts = await redis.info("persistence", "memory", "replication", **home)
        fsync = await _setting(redis, "appendfsync", home)
    return judge(facts, fsync)


async def warn_of_condition(redis: "Redis") -> None:
    """Into the log, once, at the start."""
    try:
        condition = await condition_of(redis)
    except (StoreAway, RedisError) as error:
        log.warning("redis_condition_unknown", error=repr(error))
        return
    for advice in condition.advice:
        log.warning("redis_condition", advice=advice)
    for note in condition.notes:
        log.info("redis_condition", note=note)


def judge(facts: dict[str, Any], fsync: str | None) -> Condition:
    """Of what INFO says, and of `appendfsync`, which it does not; None when CONFIG is forbidden."""
    condition = Condition()
    if str(facts.get("aof_enabled", "1")) != "1":
        condition.advice.append("set `appendonly yes`: jobs are lost when Redis restarts")
    elif fsync is None:
        condition.notes.append("appendfsync cannot be told: CONFIG is not allowed here")
    elif fsync in _FSYNC:
        condition.notes.append(_FSYNC[fsync])
    if facts.get("aof_last_write_status", "ok") != "ok":
        condition.advice.append("the append-only file cannot be written: see to Redis' disk")
    if facts.get("maxmemory_policy", "noeviction") != "noeviction":
        condition.advice.append("set `maxmemory-policy noeviction`: jobs are lost when memory is short")
    if not int(facts.get("maxmemory", 0)):
        condition.notes.append("no `maxmemory`: set it below the machine's, which else ends Redis when memory is short")
    # INFO tells the number of good replicas only where `min-replicas-to-write` is set.
    good = facts.get("min_slaves_good_slaves")
    if good is None and int(facts.get("connected_slaves", 0)):
        condition.advice.append(
            "set `min-replicas-to-write 1`: a primary that lost its replicas takes what a failover drops"
        )
    elif good is not None and not int(good):
        condition.advice.append("no replica keeps up, and `min-replicas-to-write` is set: Redis refuses to write")
    if not HIREDIS_AVAILABLE:
        condition.notes.append("hiredis is not installed: answers are read more slowly")
    return condition


async def _setting(redis: "Redis", name: str, home: dict[str, Any]) -> str | None:
    try:
        found = cast(dict[str, str], await redis.config_get(name, **home))
    except ResponseError:
        # Managed Redis forbids CONFIG, or does not know it.
        return None
    return found.get(name)
