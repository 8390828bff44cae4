"""arq's side of the jobs benchmark. It polls, by default twice a second; here oftener. Results are not kept."""

import asyncio
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peers import speak

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
QUIET = {"version": 1, "disable_existing_loggers": True}


async def nothing(_: dict[str, Any], sent: float) -> None:
    speak.ran(sent)


class WorkerSettings:
    functions = (nothing,)
    redis_settings = RedisSettings.from_dsn(speak.redis_url())
    max_jobs = 32
    keep_result = 0
    poll_delay = 0.01


async def main() -> None:
    async with await create_pool(WorkerSettings.redis_settings) as redis:
        await speak.produce(lambda sent: redis.enqueue_job("nothing", sent))


if __name__ == "__main__":
    asyncio.run(main())
