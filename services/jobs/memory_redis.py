"""How full Redis is. New jobs are refused before it is, so that those under way can be brought to their end."""

from redis.asyncio import Redis

from kit.redis import at_home_of
from services.jobs.errors import StoreFull
from services.jobs.library import PREFIX
from services.jobs.redis_away import store_away

READ_SECONDS = 1.0


class RedisMemory:
    def __init__(self, redis: "Redis", most: float) -> None:
        """`most`: the part of `maxmemory` up to which jobs are started. Without a maxmemory none is refused."""
        self._redis, self._most = redis, most
        self._part = 0.0

    async def read(self) -> None:
        """To be called about once a second. Raises StoreAway."""
        with store_away():
            facts = await self._redis.info("memory", **await at_home_of(self._redis, PREFIX))
        limit = int(facts.get("maxmemory", 0))
        self._part = int(facts["used_memory"]) / limit if limit else 0.0

    def check(self) -> None:
        """Raises StoreFull."""
        if self._part > self._most:
            raise StoreFull(
                f"the jobs' store is {self._part:.0%} full; above {self._most:.0%} no job is started", retry_after=10
            )
