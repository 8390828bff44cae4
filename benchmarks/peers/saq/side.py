"""saq's side of the jobs benchmark. With `ttl=-1` a finished job leaves nothing behind."""

import asyncio
import logging

import uvloop
from saq import Queue
from saq.types import Context, SettingsDict

from benchmarks.peers import speak

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
# Its sweep at the worker's start trips over jobs that are between two of its own writes. They run all the same.
logging.getLogger("saq").setLevel(logging.CRITICAL)
queue = Queue.from_url(speak.redis_url())


async def nothing(_: Context, *, sent: float) -> None:
    speak.ran(sent)


settings = SettingsDict(queue=queue, functions=[nothing], concurrency=32)


async def main() -> None:
    await queue.connect()
    await speak.produce(lambda sent: queue.enqueue("nothing", sent=sent, ttl=-1))
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
