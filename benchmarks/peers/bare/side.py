"""The least that Redis lets a job queue do: a stream and a consumer group. Keeps no state, records nothing, and its
worker takes messages in batches. What the others are slower than.
"""

import asyncio
import sys
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from benchmarks.peers import speak
from kit.redis import connect

STREAM, GROUP = "bare", "workers"
BATCH = 32


async def produce() -> None:
    async with connect(speak.redis_url()) as redis:
        await open_group(redis)
        await speak.produce(lambda sent: redis.xadd(STREAM, {"sent": sent}))


async def work() -> None:
    async with connect(speak.redis_url(), timeout_seconds=10) as redis:
        await open_group(redis)
        while True:
            answer: Any = await redis.xreadgroup(GROUP, "any", {STREAM: ">"}, count=BATCH, block=1000)
            for _, entries in answer:
                await asyncio.gather(*(one(redis, entry_id, fields) for entry_id, fields in entries))


async def one(redis: "Redis", entry_id: str, fields: dict[str, str]) -> None:
    speak.ran(float(fields["sent"]))
    await redis.xack(STREAM, GROUP, entry_id)


async def open_group(redis: "Redis") -> None:
    try:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1:] == ["work"] else produce())
