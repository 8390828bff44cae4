"""What the sides of the jobs benchmark share: a script of each starts jobs as it is told on standard input, and its
worker tells through a pipe which job ran. Imports nothing but Python's own: a peer runs in an environment of its own.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

REDIS_URL, PIPE = "BENCH_REDIS_URL", "BENCH_PIPE"
CALLERS = 16
"""They start jobs, each waiting for the answer before it starts another."""
DELAY = struct.Struct("d")
"""What a worker writes for each job: seconds from before its start to its first line. Every process reads one clock."""


def redis_url() -> str:
    return os.environ[REDIS_URL]


def ran(sent: float) -> None:
    """Called by every job; `sent` is its one argument."""
    os.write(_pipe(), DELAY.pack(time.monotonic() - sent))


@cache
def _pipe() -> int:
    return os.open(os.environ[PIPE], os.O_WRONLY)


def orders() -> Iterator[tuple[int, float]]:
    """How many jobs to start, and how many a second; 0 is as fast as CALLERS can. A line is answered when all are
    started."""
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        yield order["jobs"], order["per_second"]
        print(json.dumps({"seconds": time.monotonic() - began}), flush=True)


async def produce(start: Callable[[float], Awaitable[object]]) -> None:
    for jobs, per_second in orders():
        if per_second:
            began = time.monotonic()
            for number in range(jobs):
                await asyncio.sleep(max(0, began + number / per_second - time.monotonic()))
                await start(time.monotonic())
        else:
            left = iter(range(jobs))
            await asyncio.gather(*(_start_some(start, left) for _ in range(CALLERS)))


async def _start_some(start: Callable[[float], Awaitable[object]], left: Iterator[int]) -> None:
    for _ in left:
        await start(time.monotonic())


def produce_in_threads(start: Callable[[float], object]) -> None:
    """The same for a library without asyncio."""

    def start_some(left: Iterator[int]) -> None:
        for _ in left:
            start(time.monotonic())

    with ThreadPoolExecutor(CALLERS) as callers:
        for jobs, per_second in orders():
            if per_second:
                began = time.monotonic()
                for number in range(jobs):
                    time.sleep(max(0, began + number / per_second - time.monotonic()))
                    start(time.monotonic())
            else:
                left = iter(range(jobs))
                for caller in [callers.submit(start_some, left) for _ in range(CALLERS)]:
                    caller.result()
