"""The rules of jobs: what may be started, and whose job is whose. What may happen to a job, the store enforces."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator

from bureau_contracts.events import Event
from bureau_contracts.jobs import (
    DryRun,
    Job,
    JobAction,
    JobPage,
    JobStarted,
    JobStatus,
    StartJob,
    Worker,
)
from bureau_contracts.plans import faults
from bureau_contracts.problems import InvalidField
from kit.errors import Invalid
from kit.health import Degraded
from kit.identity import Principal, Reach
from kit.ids import new_id
from kit.paging import decode_cursor, encode_cursor
from kit.telemetry import current_trace
from services.jobs.dry_run import Rules, dry_run
from services.jobs.records import WorkerRecord
from services.jobs.states import Action
from services.jobs.store import JobStore, NewJob

EVENTS_AT_ONCE = 200
NEWS_SECONDS = 2.0
"""A reader of events looks again after this long, also when nothing told it to."""

_JOB_ID = re.compile("job-[0-9a-z-]{1,64}")


class JobService:
    def __init__(self, store: JobStore, rules: Rules | None = None) -> None:
        self._store, self._rules = store, rules or Rules()

    async def start(self, principal: Principal, start: StartJob, idempotency_key: str | None) -> JobStarted:
        owner = principal.owner(start.user_id)
        check(start)
        trace = current_trace()
        job = NewJob(
            job_id=new_id("job"),
            owner=owner,
            by=principal.subject,
            start=start,
            traceparent=trace.traceparent if trace else "",
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(start),
        )
        started = await self._store.start(job)
        return JobStarted(job_id=started.job_id, status=started.status, created=started.created)

    def dry_run(self, principal: Principal, start: StartJob) -> DryRun:
        """What `start` would do; refused as it would be. Does nothing."""
        owner = principal.owner(start.user_id)
        check(start)
        return dry_run(start, owner.user, self._rules)

    async def get(self, principal: Principal, job_id: str) -> Job:
        record = await self._store.get(principal.reach(), job_id)
        return record.as_job()

    async def page(
        self, principal: Principal, *, status: JobStatus | None, kind: str | None, user_id: str | None,
        limit: int, cursor: str | None,
    ) -> JobPage:  # fmt: skip
        after = _job_of(cursor) if cursor else None
        reach = principal.reach(user_id)
        page = await self._store.page(reach, status=status, kind=kind, limit=limit, after=after)
        onward = encode_cursor(page.next_after) if page.next_after else None
        return JobPage(jobs=[row.as_summary() for row in page.jobs], next_cursor=onward)

    async def steer(self, principal: Principal, job_id: str, action: Action) -> JobAction:
        status = await self._store.steer(principal.reach(), job_id, action, principal.subject)
        return JobAction(job_id=job_id, status=status)

    async def decide(self, principal: Principal, job_id: str, step: int, action: Action, comment: str) -> JobAction:
        status = await self._store.decide(principal.reach(), job_id, step, action, principal.subject, comment)
        return JobAction(job_id=job_id, status=status)

    async def events(self, reach: Reach, job_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Every event after number `after`, as it happens, until the job has ended."""
        async with self._store.watch(job_id) as news:
            while True:
                batch = await self._store.events(reach, job_id, after=after, limit=EVENTS_AT_ONCE)
                for event in batch.events:
                    yield event
                    after = event.seq
                if batch.ended:
                    return
                if not batch.events:
                    await news.wait(NEWS_SECONDS)

    async def require(self, principal: Principal, job_id: str) -> Reach:
        """The caller's reach, when the job is within it. Raises JobNotFound."""
        reach = principal.reach()
        await self._store.events(reach, job_id, after=0, limit=1)
        return reach

    async def workers(self, principal: Principal) -> list[Worker]:
        reach = principal.reach()
        return [_worker(record, reach) for record in await self._store.workers()]

    async def check_workers(self) -> str:
        """For /health."""
        alive = len(await self._store.workers())
        if not alive:
            raise Degraded("no worker is running: jobs wait until one does")
        return f"{alive} running"


def check(start: StartJob, place: str = "body") -> None:
    """Raises Invalid with all that is wrong, so that nothing fails at midnight that was wrong at noon. `place` is where
    the job stands in what was sent."""
    wrong = [InvalidField(location=f"{place}.{each.location}", message=each.message) for each in faults(start.steps)]
    if wrong:
        raise Invalid("; ".join(f"{each.location}: {each.message}" for each in wrong[:5]), errors=wrong[:50])


def _job_of(cursor: str) -> str:
    (job_id,) = decode_cursor(cursor, str)
    if not _JOB_ID.fullmatch(str(job_id)):
        raise Invalid("cursor: not one that this list gave out", code="invalid_cursor")
    return str(job_id)


def fingerprint(start: StartJob) -> str:
    text = json.dumps(start.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _worker(record: WorkerRecord, reach: Reach) -> Worker:
    visible = [
        job_id for owner, job_id in record.jobs if owner.tenant == reach.tenant and reach.user in (None, owner.user)
    ]
    return Worker(
        worker_id=record.worker_id, started_at=record.started_at, last_seen=record.last_seen,
        job_id=visible[0] if visible else None,
    )  # fmt: skip
