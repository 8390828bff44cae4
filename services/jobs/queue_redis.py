"""The WorkQueue on a Redis stream with a consumer group, and the Pulse that keeps its leases."""

from collections.abc import Sequence
from typing import Any

import redis as sync_redis
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from services.jobs import redis_records as written
from services.jobs.records import WorkerRecord
from services.jobs.redis_away import store_away
from services.jobs.scripts import CONSUMER, GROUP, PREFIX, READY, Scripts
from services.jobs.store import Bounds, Failure, LeaseLost, Message, Run

BATCH = 100
"""How many jobs one call of `wake`, `sweep` or `expire` looks at: a script holds up everybody else."""


class RedisWorkQueue:
    """`blocking` is a second client whose time-out is longer than any `wait_seconds`: it waits on purpose."""

    def __init__(self, redis: "Redis", blocking: "Redis", bounds: Bounds) -> None:
        scripts = Scripts(bounds)
        names = ("take", "commit", "fail", "release", "wake", "sweep", "expire", "workers")
        self._scripts = {name: redis.register_script(scripts[name]) for name in names}
        self._redis, self._blocking = redis, blocking
        self._sweep_cursor = "0-0"

    async def open(self) -> None:
        with store_away():
            try:
                await self._redis.xgroup_create(READY, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def fetch(self, count: int, wait_seconds: float) -> list[Message]:
        block = max(1, round(wait_seconds * 1000))
        with store_away():
            try:
                answer: Any = await self._blocking.xreadgroup(GROUP, CONSUMER, {READY: ">"}, count=count, block=block)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                # Somebody emptied Redis while we were waiting.
                await self.open()
                return []
        return [_message(entry_id, fields) for _, entries in answer for entry_id, fields in entries]

    async def take(self, message: Message, worker_id: str) -> Run | None:
        answer = await self._run("take", message.tenant, message.job_id, message.epoch, message.message_id, worker_id)
        return Run(message, written.job_record(message.tenant, message.job_id, answer)) if answer else None

    async def commit(self, run: Run, result: str, *, keep: bool) -> Run | None:
        kind, *onward = await self._run("commit", *_held(run), result, "1" if keep else "")
        if kind == "lost":
            raise LeaseLost
        if kind == "stop":
            return None
        index, attempts = onward
        return run.passed(result, index, attempts)

    async def fail(self, run: Run, failure: Failure) -> None:
        delay = round(failure.delay_seconds * 1000)
        answer = await self._run("fail", *_held(run), failure.kind, failure.error, delay)
        if answer[0] == "lost":
            raise LeaseLost

    async def release(self, message: Message) -> None:
        await self._run("release", message.tenant, message.job_id, message.epoch, message.message_id)

    async def wake(self) -> int:
        return int(await self._run("wake", BATCH))

    async def sweep(self) -> int:
        self._sweep_cursor, taken = await self._run("sweep", self._sweep_cursor, BATCH)
        return int(taken)

    async def expire(self) -> int:
        return int(await self._run("expire", BATCH))

    async def leave(self, worker_id: str) -> None:
        await self._run("workers", worker_id)

    async def _run(self, script: str, *arguments: str | int) -> Any:
        with store_away():
            return await self._scripts[script](keys=[PREFIX], args=arguments)


class RedisPulse:
    """Connects when it first beats."""

    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        timeout = max(0.5, bounds.lease_seconds / 4)
        self._redis = sync_redis.Redis.from_url(
            redis_url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._beat = self._redis.register_script(Scripts(bounds)["beat"])

    def beat(self, worker: WorkerRecord, held: Sequence[Message]) -> list[Message]:
        parts = [
            part for message in held for part in (message.tenant, message.job_id, message.epoch, message.message_id)
        ]
        with store_away():
            lost = set(self._beat(keys=[PREFIX], args=[worker.worker_id, written.about_worker(worker), *parts]))
        return [message for message in held if message.message_id in lost]

    def close(self) -> None:
        self._redis.close()


def _held(run: Run) -> tuple[str, str, int, int]:
    return run.message.tenant, run.message.job_id, run.message.epoch, run.index


def _message(entry_id: str, fields: dict[str, str]) -> Message:
    return Message(entry_id, fields["tenant"], fields["job"], int(fields["epoch"]))
