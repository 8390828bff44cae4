"""Both ports of jobs over the same jobs, on each adapter, and short ways to say what a job is."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from bureau_contracts.events import Event
from bureau_contracts.jobs import JobStatus, StartJob
from bureau_contracts.steps import StepStatus
from kit.identity import Owner, Reach
from kit.ids import new_id
from kit.redis import connect
from services.jobs.calls_redis import Calls
from services.jobs.news_redis import RedisNews
from services.jobs.queue_memory import MemoryPulse, MemoryWorkQueue
from services.jobs.queue_redis import RedisPulse, RedisWorkQueue
from services.jobs.records import JobRecord, WorkerRecord
from services.jobs.schedule_store import DueSchedules, ScheduleStore
from services.jobs.schedules_memory import MemorySchedules
from services.jobs.schedules_redis import RedisSchedules
from services.jobs.states import Action
from services.jobs.store import (
    Bounds,
    JobList,
    JobStore,
    NewJob,
    Page,
    Pulse,
    Run,
    Started,
    Verdict,
    WorkQueue,
)
from services.jobs.store_memory import MemoryJobs, MemoryJobStore
from services.jobs.store_redis import RedisJobStore
from services.jobs.webhook_store import Webhooks
from services.jobs.webhooks_memory import MemoryWebhooks
from services.jobs.webhooks_redis import RedisWebhooks
from tests.waiting import eventually

ANN = Owner("acme", "ann")
WORKER = "worker-1"
_fetches = itertools.count()
LEASE = 0.2

AGENT = {"name": "ask", "kind": "agent", "message": "hello"}
AGAIN = {"name": "again", "kind": "agent", "message": "and now?"}
ONCE = {"name": "pay", "kind": "function", "function": "pay"}
BREAKPOINT = {"name": "look", "kind": "breakpoint"}
NAP = {"name": "nap", "kind": "wait", "seconds": 0.02}
LONG = {"name": "sleep", "kind": "wait", "seconds": 3600}


@dataclass
class Jobs:
    """What the tests of a store are given."""

    store: JobStore
    queue: WorkQueue
    pulse: Pulse
    schedules: "Schedules"
    webhooks: Webhooks

    async def start(self, *steps: dict[str, Any], owner: Owner = ANN, key: str | None = None, **fields: Any) -> Started:
        (started,) = await self.store.start([new_job(*steps, owner=owner, key=key, **fields)])
        return started

    async def record(self, job_id: str, owner: Owner = ANN) -> JobRecord:
        return await self.store.get(mine(owner), job_id)

    async def page(
        self, reach: Reach | None = None, which: JobList = JobList.ALL, *, status: JobStatus | None = None,
        kind: str | None = None, limit: int = 100, after: str | None = None,
    ) -> Page:  # fmt: skip
        return await self.store.page(reach or mine(), which, status=status, kind=kind, limit=limit, after=after)

    async def fetch(self, count: int = 1, wait_seconds: float = 0, worker: str = WORKER) -> list[Run]:
        return await self.queue.fetch(worker, next(_fetches), count, wait_seconds)

    async def take(self, worker: str = WORKER) -> Run:
        """The next job, begun."""
        (run,) = await self.fetch(1, 5, worker)
        return run

    async def finish(self, result: str = "1") -> str:
        """Takes the next job and passes its step; gives its id."""
        run = await self.take()
        await self.queue.commit(run, result, keep=False)
        return run.record.job_id

    async def steer(self, job_id: str, action: Action, *, from_step: int | None = None) -> JobStatus:
        return await self.store.steer(mine(), job_id, action, "ann", from_step=from_step)

    async def decide(self, job_id: str, step: int, action: Action, comment: str = "", **said: Any) -> JobStatus:
        return await self.store.decide(mine(), job_id, step, Verdict(action, "ann", comment, **said))

    async def events(self, job_id: str, after: int = 0) -> list[Event]:
        return (await self.store.events(mine(), job_id, after=after, limit=1000)).events

    async def status(self, job_id: str) -> JobStatus:
        return (await self.record(job_id)).status

    async def statuses(self, job_id: str) -> list[StepStatus]:
        return [step.status for step in (await self.record(job_id)).steps]

    async def swept(self) -> None:
        """Returns when a lease has run out and its job was taken."""

        async def found() -> bool:
            return await self.queue.sweep() > 0

        await eventually(found)

    async def woken(self) -> None:
        """Returns when the moment of a job has come."""

        async def found() -> bool:
            return await self.queue.wake() > 0

        await eventually(found)

    async def nothing_queued(self) -> bool:
        return await self.fetch() == []


class Schedules(ScheduleStore, DueSchedules, Protocol):
    """Both ports of schedules."""


Open = Callable[[Bounds], AbstractAsyncContextManager[Jobs]]


def new_job(*steps: dict[str, Any], owner: Owner = ANN, key: str | None = None, **fields: Any) -> NewJob:
    start = StartJob.model_validate({"title": "t", "steps": list(steps)} | fields)
    return NewJob(new_id("job"), owner, owner.user, start, idempotency_key=key, fingerprint=start.model_dump_json())


def mine(owner: Owner = ANN) -> Reach:
    return Reach(owner.tenant, owner.user)


def worker(name: str = WORKER, *runs: Run) -> WorkerRecord:
    now = datetime.now(UTC)
    return WorkerRecord(name, now, now, [(run.record.owner, run.record.job_id) for run in runs])


def jobs_in(jobs: MemoryJobs) -> Jobs:
    schedules, webhooks = MemorySchedules(jobs), MemoryWebhooks(jobs)
    return Jobs(MemoryJobStore(jobs), MemoryWorkQueue(jobs), MemoryPulse(jobs), schedules, webhooks)


@asynccontextmanager
async def open_memory(bounds: Bounds) -> AsyncIterator[Jobs]:
    jobs = MemoryJobs(bounds)
    yield Jobs(
        MemoryJobStore(jobs), MemoryWorkQueue(jobs), MemoryPulse(jobs), MemorySchedules(jobs), MemoryWebhooks(jobs)
    )


@asynccontextmanager
async def open_redis(bounds: Bounds, url: str) -> AsyncIterator[Jobs]:
    async with AsyncExitStack() as opened:
        redis = await opened.enter_async_context(connect(url))
        blocking = await opened.enter_async_context(connect(url, timeout_seconds=10))
        news = RedisNews(redis)
        await opened.enter_async_context(news.listening())
        pulse = RedisPulse(url, bounds)
        opened.callback(pulse.close)
        call = await opened.enter_async_context(Calls(redis, bounds).open())
        queue = RedisWorkQueue(call, blocking, bounds.queues)
        yield Jobs(
            RedisJobStore(call, redis, news, bounds.queues), queue, pulse, RedisSchedules(call), RedisWebhooks(call)
        )
