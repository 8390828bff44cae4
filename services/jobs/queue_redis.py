"""The WorkQueue on Redis or Valkey, and the Pulse that keeps its leases: every call is one function there."""

import json
from collections.abc import Sequence
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from kit.logs import get_logger
from kit.redis import connect_blocking
from services.jobs import redis_records as written
from services.jobs.calls_redis import Calls
from services.jobs.library import PREFIX, Library
from services.jobs.records import WorkerRecord
from services.jobs.redis_away import store_away
from services.jobs.store import Bounds, Checkpoint, Claim, Failure, LeaseLost, NewJob, Run

log = get_logger(__name__)

BATCH = 100
"""How many jobs one call of `wake`, `sweep` or `expire` looks at: a script holds up everybody else."""


class RedisWorkQueue:
    """`blocking` is a second client whose time-out is longer than any `wait_seconds`: it waits on purpose."""

    def __init__(self, call: Calls, blocking: "Redis", queues: Sequence[str]) -> None:
        """`queues` are those that are served."""
        self._call, self._blocking, self._queues = call, blocking, list(queues)
        self._bells = [f"{PREFIX}bell:{queue}" for queue in self._queues]

    async def fetch(self, worker_id: str, number: int, count: int, wait_seconds: float) -> list[Run]:
        found = await self._fetch(worker_id, number, count)
        if found or not wait_seconds:
            return found
        with store_away():
            rung: Any = await self._blocking.blpop(self._bells, timeout=wait_seconds)
        return await self._fetch(worker_id, number, count) if rung else []

    async def _fetch(self, worker_id: str, number: int, count: int) -> list[Run]:
        rows = await self._call("fetch", worker_id, number, count, *self._queues)
        return [run for row in rows if (run := _run(*row)) is not None]

    async def commit(self, run: Run, result: str, *, keep: bool, cost: float = 0) -> Run | None:
        kind, *onward = await self._call("commit", *_held(run), result, "1" if keep else "", f"{cost:.12g}")
        if kind == "lost":
            raise LeaseLost
        if kind == "stop":
            return None
        index, attempts = onward
        return run.passed(result, index, attempts)

    async def fail(self, run: Run, failure: Failure) -> None:
        delay = round(failure.delay_seconds * 1000)
        answer = await self._call("fail", *_held(run), failure.kind, failure.error, delay)
        if answer[0] == "lost":
            raise LeaseLost

    async def checkpoint(self, run: Run, said: Checkpoint) -> bool:
        progress = "" if said.progress is None else repr(said.progress)
        answer = await self._call("checkpoint", *_held(run), said.state or "", progress, said.note)
        if answer == "lost":
            raise LeaseLost
        return bool(answer == "go")

    async def fan_out(self, run: Run, children: Sequence[NewJob], *, parallel: int, partial: bool) -> None:
        each = [json.dumps(written.start_arguments(child), ensure_ascii=False) for child in children]
        if await self._call("fan_out", *_held(run), parallel, "1" if partial else "", *each) == "lost":
            raise LeaseLost

    async def release(self, claim: Claim, *, begun: bool) -> None:
        await self._call("release", *_parts(claim), "1" if begun else "")

    async def wake(self) -> int:
        return int(await self._call("wake", BATCH))

    async def sweep(self) -> int:
        return int(await self._call("sweep", BATCH))

    async def expire(self) -> int:
        return int(await self._call("expire", BATCH))

    async def leave(self, worker_id: str) -> None:
        await self._call("workers", worker_id)


class RedisPulse:
    """Connects when it first beats."""

    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        self._url, self._timeout = redis_url, max(0.5, bounds.lease_seconds / 4)
        self._library = Library(bounds)
        self._redis: BlockingRedis | None = None

    def beat(self, worker: WorkerRecord, held: Sequence[Claim]) -> list[Claim]:
        parts = [part for claim in held for part in _parts(claim)]
        with store_away():
            lost = self._call("beat", worker.worker_id, written.about_worker(worker), *parts)
        return [held[number - 1] for number in lost]

    def _call(self, name: str, *arguments: str | int) -> Any:
        if self._redis is None:
            self._redis = connect_blocking(self._url, timeout_seconds=self._timeout)
        function = self._library.function(name)
        try:
            return self._redis.fcall(function, 1, PREFIX, *arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            self._redis.function_load(self._library.text, replace=True)
            return self._redis.fcall(function, 1, PREFIX, *arguments)

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()


def _run(tenant: str, job_id: str, *answer: Sequence[str]) -> Run | None:
    try:
        return Run(written.claim(tenant, job_id, answer), written.job_record(tenant, job_id, answer))
    except Exception:
        # Of a newer version, say. One job must not end the worker: its lease runs out, and others try it.
        log.exception("job_unreadable", job=job_id)
        return None


def _parts(claim: Claim) -> tuple[str, str, int]:
    return claim.tenant, claim.job_id, claim.epoch


def _held(run: Run) -> tuple[str, str, int, int]:
    return *_parts(run.claim), run.index
