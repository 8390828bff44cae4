"""One round of one side of the jobs benchmark: drain, live, paced, and the memory of Valkey before and after."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import psutil
from redis.asyncio import Redis

from benchmarks.jobs_sides import Producer, Reports, Side, programs, running
from deploy.local.ports import free_port
from services.jobs.library import PREFIX

ENDED = f"{PREFIX}ended"
PATIENCE_SECONDS = 60
SETTLED_BYTES = 10_000
SETTLE_SECONDS = 0.5
"""A peer's job counts before it is acknowledged."""
LOOK_SECONDS = 0.005
WARM_UP = 50
PER_SECOND = 100


@dataclass(frozen=True)
class Sizes:
    jobs: int
    rounds: int
    paced: int
    """Jobs that are started at PER_SECOND."""


@dataclass
class Figures:
    """Of one side, one value per round; of `latency` one per job, in milliseconds."""

    drain: list[float] = field(default_factory=list)
    """Jobs per second of what was queued before the worker came."""
    live: list[float] = field(default_factory=list)
    """Jobs per second from the first start to the last end, producer and worker at once."""
    started: list[float] = field(default_factory=list)
    """Jobs per second that the producer alone can start."""
    worker: list[float] = field(default_factory=list)
    """Microseconds of processor per job while draining."""
    valkey: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    """Bytes of Valkey per job that waits."""
    ended: list[float] = field(default_factory=list)
    """Bytes of Valkey per job that has ended."""


@dataclass
class Bench:
    redis: "Redis"
    valkey: psutil.Process
    reports: Reports
    environment: Mapping[str, str]

    async def round(self, side: Side, sizes: Sizes, figures: Figures) -> None:
        await self.redis.flushall()
        self.reports.milliseconds.clear()
        async with AsyncExitStack() as opened:
            producer = await self._producer(side, opened)
            await producer.start(WARM_UP)
            before = await self._settled_memory()
            figures.started.append(sizes.jobs / await producer.start(sizes.jobs))
            figures.queued.append((await self._settled_memory() - before) / sizes.jobs)
            worker = await opened.enter_async_context(running(side.worker, programs(side), self.environment))
            await self._drain(side, WARM_UP + sizes.jobs, psutil.Process(worker.pid), figures)
            await self._live(side, producer, sizes.jobs, figures)
            await self._paced(side, producer, sizes.paced, figures)
            total = await self._ended(side)
            await asyncio.sleep(SETTLE_SECONDS)
        kept = await self._settled_memory()
        await self.redis.flushall()
        figures.ended.append((kept - await self._settled_memory()) / total)

    async def _producer(self, side: Side, opened: AsyncExitStack) -> Producer:
        environment = dict(self.environment)
        if side.through_api:
            port = free_port()
            environment |= {"BENCH_API": f"http://127.0.0.1:{port}", "JOBS_PORT": str(port)}
            api = ("python", "-m", "kit.serve", "services.jobs")
            await opened.enter_async_context(running(api, programs(side), environment))
            await _until_healthy(f"{environment['BENCH_API']}/health")
        process = running(side.producer, programs(side), environment, piped=True)
        return Producer(await opened.enter_async_context(process))

    async def _drain(self, side: Side, jobs: int, worker: psutil.Process, figures: Figures) -> None:
        """From the first end that is seen, so without the worker's own start."""
        first = await self._until_ended(side, 1)
        began, worker_began, valkey_began = time.perf_counter(), _cpu(worker), _cpu(self.valkey)
        await self._until_ended(side, jobs)
        left = jobs - first
        figures.drain.append(left / (time.perf_counter() - began))
        figures.worker.append((_cpu(worker) - worker_began) / left * 1e6)
        figures.valkey.append((_cpu(self.valkey) - valkey_began) / left * 1e6)

    async def _live(self, side: Side, producer: Producer, jobs: int, figures: Figures) -> None:
        ended = await self._ended(side)
        began = time.perf_counter()
        await producer.start(jobs)
        await self._until_ended(side, ended + jobs)
        figures.live.append(jobs / (time.perf_counter() - began))

    async def _paced(self, side: Side, producer: Producer, jobs: int, figures: Figures) -> None:
        ended, told = await self._ended(side), len(self.reports.milliseconds)
        await producer.start(jobs, PER_SECOND)
        await self._until_ended(side, ended + jobs)
        figures.latency += self.reports.milliseconds[told:]

    async def _ended(self, side: Side) -> int:
        return int(await self.redis.zcard(ENDED)) if side.records else len(self.reports.milliseconds)

    async def _until_ended(self, side: Side, jobs: int) -> int:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (ended := await self._ended(side)) < jobs:  # noqa: ASYNC110 - they end in another process
                await asyncio.sleep(LOOK_SECONDS)
        return ended

    async def _memory(self) -> int:
        return int((await self.redis.info("memory"))["used_memory"])

    async def _settled_memory(self) -> int:
        """Once connections have ended, and nothing changes any more."""
        last = -SETTLED_BYTES
        async with asyncio.timeout(PATIENCE_SECONDS):
            while abs((now := await self._memory()) - last) >= SETTLED_BYTES:
                last = now
                await asyncio.sleep(SETTLE_SECONDS)
        return now


def _cpu(process: psutil.Process) -> float:
    """Seconds, with its children's: some libraries start their one worker from another process."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


async def _until_healthy(url: str) -> None:
    async with httpx.AsyncClient(timeout=2) as http, asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if (await http.get(url)).status_code < 500:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)
