"""taskiq's side of the jobs benchmark, on taskiq-redis's broker that acknowledges: the one that loses no job when a
worker dies. Without a result backend nothing is recorded.
"""

import asyncio

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import speak

broker = RedisStreamBroker(speak.redis_url())


@broker.task("nothing")
async def nothing(sent: float) -> None:
    speak.ran(sent)


async def main() -> None:
    await broker.startup()
    await speak.produce(nothing.kiq)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
