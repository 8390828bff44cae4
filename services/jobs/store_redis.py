"""The JobStore on Redis or Valkey: every call is one function there, so one round trip and one atomic
step."""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from redis.asyncio import Redis

from bureau_contracts.jobs import JobStatus
from bureau_contracts.steps import NewStep
from kit.health import Degraded
from kit.identity import Reach
from services.jobs import redis_records as written
from services.jobs.calls_redis import Calls
from services.jobs.errors import (
    ChildOfMap,
    Crowded,
    IdempotencyKeyReused,
    IllegalTransition,
    JobNotFound,
    NotAnApprover,
    ParentNotFound,
    QueueFull,
    StepNotFound,
    StepNotWaiting,
    TooManyEdits,
)
from services.jobs.memory_redis import RedisMemory
from services.jobs.news_redis import RedisNews
from services.jobs.records import JobRecord, WorkerRecord
from services.jobs.redis_condition import condition_of
from services.jobs.states import FINAL, Action
from services.jobs.store import EventBatch, JobList, NewJob, News, Page, QueueLoad, Started, Verdict

LOOKS_PER_PAGE = 1000
"""How many jobs a filtered page looks at before it answers with what it found, and where to go on."""


class RedisJobStore:
    def __init__(
        self, call: Calls, redis: "Redis", news: RedisNews, queues: Sequence[str], memory: RedisMemory | None = None
    ) -> None:
        self._call, self._redis, self._news = call, redis, news
        self._queues, self._memory = list(queues), memory

    async def start(self, jobs: Sequence[NewJob]) -> list[Started]:
        if self._memory is not None:
            self._memory.check()
        parts: list[str | int] = []
        for job in jobs:
            arguments = written.start_arguments(job)
            parts += [len(arguments), *arguments]
        answers = await self._call("start", len(jobs), *parts)
        if answers and answers[0] == "full":
            raise QueueFull(*answers[1:])
        if answers == ["reused"]:
            raise IdempotencyKeyReused
        if answers == ["no_parent"]:
            raise ParentNotFound
        if answers == ["crowded"]:
            raise Crowded
        return [Started(job_id, JobStatus(status), created=kind == "created") for kind, job_id, status in answers]

    async def get(self, reach: Reach, job_id: str) -> JobRecord:
        answer = await self._call("read", reach.tenant, job_id, reach.user or "")
        if not answer:
            raise JobNotFound(job_id)
        return written.job_record(reach.tenant, job_id, answer)

    async def page(
        self, reach: Reach, which: JobList, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        name = f"{which}:{reach.tenant}" + (f":{reach.user}" if reach.user else "")
        wanted = status or "", kind or ""
        return _page(await self._call("page", name, reach.tenant, after or "", limit, *wanted, LOOKS_PER_PAGE))

    async def children(
        self, reach: Reach, parent_id: str, *, status: JobStatus | None, kind: str | None, limit: int, after: str | None
    ) -> Page:
        name = f"children:{reach.tenant}:{parent_id}"
        wanted = status or "", kind or "", LOOKS_PER_PAGE, parent_id, reach.user or ""
        answer = await self._call("page", name, reach.tenant, after or "", limit, *wanted)
        if not answer:
            raise JobNotFound(parent_id)
        return _page(answer)

    async def steer(
        self, reach: Reach, job_id: str, action: Action, by: str, *, from_step: int | None = None
    ) -> JobStatus:
        step = "" if from_step is None else from_step
        answer = await self._call("steer", reach.tenant, job_id, reach.user or "", action, by, step)
        if answer[0] == "child":
            raise ChildOfMap(job_id, answer[1])
        return _new_status(answer, job_id, action, from_step)

    async def decide(self, reach: Reach, job_id: str, step: int, verdict: Verdict) -> JobStatus:
        result = json.dumps(verdict.result, ensure_ascii=False)
        answer = await self._call(
            "decide", reach.tenant, job_id, reach.user or "", verdict.action, step, verdict.by, verdict.comment, result,
            "1" if verdict.administers else "",
        )  # fmt: skip
        if answer[0] == "forbidden":
            raise NotAnApprover(job_id, step)
        return _new_status(answer, job_id, verdict.action, step)

    async def edit(
        self, reach: Reach, seen: JobRecord, step: int, definition: NewStep, by: str, comment: str, *,
        administers: bool = False,
    ) -> bool:  # fmt: skip
        definitions = [each.definition for each in seen.steps]
        if step >= len(definitions):
            raise StepNotFound(seen.job_id, step)
        before, definitions[step] = definitions[step], definition
        answer = await self._call(
            "edit", reach.tenant, seen.job_id, reach.user or "", step, seen.edits,
            definition.model_dump_json(exclude_unset=True),
            written.plan(definitions), by, comment, before.model_dump_json(exclude_unset=True),
            "1" if administers else "",
        )  # fmt: skip
        if answer[0] == "stale":
            return False
        if answer[0] == "edited":
            raise TooManyEdits(seen.job_id)
        if answer[0] == "forbidden":
            raise NotAnApprover(seen.job_id, step)
        _new_status(answer, seen.job_id, Action.EDIT, step)
        return True

    async def events(self, reach: Reach, job_id: str, *, after: int, limit: int) -> EventBatch:
        answer = await self._call("events", reach.tenant, job_id, reach.user or "", after, limit)
        if not answer:
            raise JobNotFound(job_id)
        status, traceparent, last, first, texts = answer
        events = [written.event(text, seq, job_id, traceparent) for seq, text in enumerate(texts, first)]
        seen = events[-1].seq if events else after
        return EventBatch(events, ended=JobStatus(status) in FINAL and seen >= last)

    def watch(self, *job_ids: str) -> AbstractAsyncContextManager[News]:
        return self._news.watch(*job_ids)

    async def workers(self) -> list[WorkerRecord]:
        return written.worker_records(await self._call("workers", ""))

    async def queues(self, tenant: str) -> list[QueueLoad]:
        rows = await self._call("queues", tenant, *self._queues)
        return [
            QueueLoad(queue, written.load(*row[:3]), written.load(*row[3:]))
            for queue, row in zip(self._queues, rows, strict=True)
        ]

    async def ping(self) -> str:
        condition = await condition_of(self._redis)
        if condition.advice:
            raise Degraded("; ".join(condition.advice))
        return "; ".join(condition.notes)


def _page(answer: Sequence[Any]) -> Page:
    rows, onward = answer
    return Page([written.summary(row) for row in rows], onward or None)


def _new_status(answer: Sequence[str], job_id: str, action: Action, step: int | None = None) -> JobStatus:
    match answer[0]:
        case "missing":
            raise JobNotFound(job_id)
        case "no_step":
            assert step is not None
            raise StepNotFound(job_id, step)
        case "not_waiting":
            assert step is not None
            raise StepNotWaiting(job_id, step)
        case "illegal":
            raise IllegalTransition(job_id, action, JobStatus(answer[1]))
    return JobStatus(answer[1])
