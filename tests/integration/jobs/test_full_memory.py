"""A Redis that is nearly full starts no job, but brings those under way to their end."""

from dataclasses import replace
from pathlib import Path

import pytest

from bureau_contracts.jobs import JobStatus
from deploy.local.valkey import EmbeddedValkey
from kit.redis import connect
from services.jobs.calls_redis import Calls
from services.jobs.errors import StoreFull
from services.jobs.memory_redis import RedisMemory
from services.jobs.news_redis import RedisNews
from services.jobs.store import Bounds
from services.jobs.store_redis import RedisJobStore
from tests.job_stores import ANN, NAP, open_redis


async def test_above_its_part_of_the_memory_only_new_jobs_are_refused(quick_folder: Path, tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, fast=True) as server:
        async with (
            open_redis(Bounds(), server.url) as jobs,
            connect(server.url) as redis,
            Calls(redis, Bounds()).open() as call,
        ):
            memory = RedisMemory(redis, 0.85)
            jobs = replace(jobs, store=RedisJobStore(call, redis, RedisNews(redis), ("default",), memory))
            await memory.read()
            started = await jobs.start(NAP)
            used = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", int(used * 1.1))
            await memory.read()
            with pytest.raises(StoreFull) as refused:
                await jobs.start(NAP)
            assert refused.value.retry_after
            await jobs.woken()
            assert (await jobs.record(started.job_id, ANN)).status is JobStatus.SUCCEEDED
            await redis.config_set("maxmemory", int(used * 10))
            await memory.read()
            await jobs.start(NAP)
