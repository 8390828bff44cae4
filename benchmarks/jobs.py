"""`python -m benchmarks.jobs [--quick]`: jobs of one step from start to end, and how soon a started job begins.

One worker process on a Valkey that syncs every write. The reference is a bare stream with a consumer group on the same
server, in this process: it keeps no state, records nothing, and takes in batches of the same size.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.steps import NewStep, StepKind
from deploy.local.valkey import EmbeddedValkey
from kit.identity import Owner, Reach, generate_keypair
from kit.ids import new_id
from kit.redis import connect
from services.jobs.calls_redis import Calls
from services.jobs.functions import step_function
from services.jobs.library import PREFIX
from services.jobs.news_redis import RedisNews
from services.jobs.steps import StepContext
from services.jobs.store import Bounds, NewJob
from services.jobs.store_redis import RedisJobStore

OWNER = Owner("acme", "ann")
REACH = Reach("acme", "ann")
CONCURRENCY = 32
PRODUCERS = 16
PATIENCE_SECONDS = 120
ENDED = f"{PREFIX}ended"


@step_function("nothing")
async def nothing(_: StepContext) -> int:
    return 1


START = StartJob(title="one step", steps=[NewStep(name="only", kind=StepKind.FUNCTION, function="nothing")])


async def start_one(store: RedisJobStore) -> str:
    (started,) = await store.start([NewJob(new_id("job"), OWNER, OWNER.user, START)])
    return started.job_id


async def start_to_finish(store: RedisJobStore, redis: "Redis", jobs: int) -> float:
    """Jobs per second, from the first start to the last end; producers and worker at work together."""
    ended = int(await redis.zcard(ENDED))
    left = iter(range(jobs))

    async def produce() -> None:
        for _ in left:
            await start_one(store)

    began = time.perf_counter()
    await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while int(await redis.zcard(ENDED)) < ended + jobs:  # noqa: ASYNC110 - they end in another process
            await asyncio.sleep(0.005)
    return jobs / (time.perf_counter() - began)


async def bare_stream(redis: "Redis", blocking: "Redis", jobs: int) -> float:
    await redis.delete("bare")
    await redis.xgroup_create("bare", "workers", id="0", mkstream=True)
    left = iter(range(jobs))

    async def produce() -> None:
        for number in left:
            await redis.xadd("bare", {"job": number})

    async def consume() -> None:
        done = 0
        while done < jobs:
            answer: Any = await blocking.xreadgroup("workers", "any", {"bare": ">"}, count=CONCURRENCY, block=1000)
            entries = [entry for _, batch in answer for entry in batch]
            await asyncio.gather(*(redis.xack("bare", "workers", entry_id) for entry_id, _ in entries))
            done += len(entries)

    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(consume(), *(produce() for _ in range(PRODUCERS)))
    return jobs / (time.perf_counter() - began)


async def start_latency(store: RedisJobStore, jobs: int, per_second: float) -> list[float]:
    """Milliseconds from a job's start to its step's, by the clock of Redis."""
    ids, began = [], time.perf_counter()
    for number in range(jobs):
        await asyncio.sleep(max(0, began + number / per_second - time.perf_counter()))
        ids.append(await start_one(store))
    delays = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        for job_id in ids:
            record = await store.get(REACH, job_id)
            while record.status is not JobStatus.SUCCEEDED:
                await asyncio.sleep(0.01)
                record = await store.get(REACH, job_id)
            started = record.steps[0].started_at
            assert started is not None
            delays.append((started - record.created_at).total_seconds() * 1000)
    return delays


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[None]:
    private, _ = generate_keypair()
    environment = os.environ | {
        "BUREAU_IDENTITY_PRIVATE_KEY": private,
        "BUREAU_LOG_LEVEL": "warning",
        "JOBS_REDIS_URL": url,
        "JOBS_CONCURRENCY": str(CONCURRENCY),
        "JOBS_FUNCTION_MODULES": "benchmarks.jobs",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.jobs.worker", "--lifeline", env=environment, stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def measure(url: str, *, quick: bool) -> None:
    jobs, rounds = (200, 1) if quick else (3000, 3)
    async with (
        connect(url) as redis,
        connect(url, timeout_seconds=10) as blocking,
        worker(url),
        Calls(redis, Bounds()).open() as calls,
    ):
        store = RedisJobStore(calls, redis, RedisNews(redis), Bounds().queues)
        await start_to_finish(store, redis, 50)  # until the worker is warm
        ours, bare = [], []
        for _ in range(rounds):
            ours.append(await start_to_finish(store, redis, jobs))
            bare.append(await bare_stream(redis, blocking, jobs))
        own, reference = statistics.median(ours), statistics.median(bare)
        print(f"one-step jobs, start to finish, every step recorded   {own:8,.0f}/s")
        print(
            f"bare stream, nothing recorded                         {reference:8,.0f}/s   ratio {own / reference:.2f}"
        )
        delays = await start_latency(store, 100 if quick else 500, per_second=100)
        p50, p99 = statistics.median(delays), statistics.quantiles(delays, n=100)[98]
        print(f"from start to the step's begin, at 100 jobs/s         p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        used = (await redis.info("memory"))["used_memory"]
        total = await redis.zcard(ENDED)
        print(f"memory of Valkey per ended job, events included       {used / total:8,.0f} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything still run?")
    quick = parser.parse_args().quick
    print(f"Valkey with appendfsync always; one worker, {CONCURRENCY} jobs at once; {PRODUCERS} callers start them")
    with tempfile.TemporaryDirectory(prefix="bureau-bench-") as folder, EmbeddedValkey(Path(folder)) as valkey:
        asyncio.run(measure(valkey.url, quick=quick))


if __name__ == "__main__":
    main()
