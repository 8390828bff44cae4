"""The JobStore on Redis or Valkey: every call is one script, so one round trip and one atomic step."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.asyncio import Redis

from bureau_contracts.jobs import JobStatus
from kit.health import Degraded
from kit.identity import Reach
from services.jobs import redis_records as written
from services.jobs.errors import IdempotencyKeyReused, IllegalTransition, JobNotFound, StepNotFound, StepNotWaiting
from services.jobs.news_redis import RedisNews
from services.jobs.records import JobRecord, WorkerRecord
from services.jobs.redis_away import store_away
from services.jobs.scripts import PREFIX, Scripts
from services.jobs.states import FINAL, Action
from services.jobs.store import Bounds, EventBatch, NewJob, News, Page, Started

LOOKS_PER_PAGE = 1000
"""How many jobs a filtered page looks at before it answers with what it found, and where to go on."""


class RedisJobStore:
    def __init__(self, redis: "Redis", news: RedisNews, bounds: Bounds) -> None:
        scripts = Scripts(bounds)
        names = ("start", "read", "page", "steer", "decide", "events", "workers")
        # redis-py loads a script again when the server does not know it any more, as after a restart.
        self._scripts = {name: redis.register_script(scripts[name]) for name in names}
        self._redis, self._news = redis, news

    async def start(self, job: NewJob) -> Started:
        kind, *found = await self._run("start", *written.start_arguments(job))
        if kind == "reused":
            raise IdempotencyKeyReused
        return Started(found[0], JobStatus(found[1]), created=kind == "created")

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        answer = await self._run("read", reach.tenant, job_id, reach.user or "")
        if not answer:
            raise JobNotFound(job_id)
        return written.job_record(reach.tenant, job_id, answer)

    async def page(
        self, reach: Reach, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        user, wanted = reach.user or "", (status or "", kind or "")
        rows, onward = await self._run("page", reach.tenant, user, after or "", limit, *wanted, LOOKS_PER_PAGE)
        return Page([written.summary(row) for row in rows], onward or None)

    async def steer(self, reach: Reach, job_id: str, action: Action, by: str) -> JobStatus:
        answer = await self._run("steer", reach.tenant, job_id, reach.user or "", action, by)
        return _new_status(answer, job_id, action)

    async def decide(self, reach: Reach, job_id: str, step: int, action: Action, by: str, comment: str) -> JobStatus:
        answer = await self._run("decide", reach.tenant, job_id, reach.user or "", action, step, by, comment)
        if answer[0] == "no_step":
            raise StepNotFound(job_id, step)
        if answer[0] == "not_waiting":
            raise StepNotWaiting(job_id, step)
        return _new_status(answer, job_id, action)

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        answer = await self._run("events", reach.tenant, job_id, reach.user or "", after, limit)
        if not answer:
            raise JobNotFound(job_id)
        status, traceparent, last, texts = answer
        events = [written.event(text, job_id, traceparent) for text in texts]
        seen = events[-1].seq if events else after
        return EventBatch(events, ended=JobStatus(status) in FINAL and seen >= int(last))

    def watch(self, job_id: str) -> AbstractAsyncContextManager[News]:
        return self._news.watch(job_id)

    async def workers(self) -> list[WorkerRecord]:
        return written.worker_records(await self._run("workers", ""))

    async def ping(self) -> str:
        with store_away():
            facts = await self._redis.info("persistence", "memory")
        advice = []
        if str(facts.get("aof_enabled", "1")) != "1":
            advice.append("set `appendonly yes`: jobs are lost when Redis restarts")
        if facts.get("maxmemory_policy", "noeviction") != "noeviction":
            advice.append("set `maxmemory-policy noeviction`: jobs are lost when memory is short")
        if advice:
            raise Degraded("; ".join(advice))
        return ""

    async def _run(self, script: str, *arguments: str | int) -> Any:
        with store_away():
            return await self._scripts[script](keys=[PREFIX], args=arguments)


def _new_status(answer: list[str], job_id: str, action: Action) -> JobStatus:
    if answer[0] == "missing":
        raise JobNotFound(job_id)
    status = JobStatus(answer[1])
    if answer[0] == "illegal":
        raise IllegalTransition(job_id, action, status)
    return status
