"""The rules of jobs: what may be started, and whose job is whose. What may happen to a job, the store enforces."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Sequence

from bureau_contracts.events import Event
from bureau_contracts.jobs import (
    Decision,
    DryRun,
    EditStep,
    Job,
    JobAction,
    JobPage,
    JobsStarted,
    JobStarted,
    JobStatus,
    Queue,
    StartJob,
    Worker,
)
from kit.errors import Forbidden, Invalid
from kit.health import Degraded
from kit.identity import ADMIN, OPERATOR, Principal, Reach
from kit.ids import new_id
from kit.paging import decode_cursor, encode_cursor
from kit.telemetry import current_trace
from services.jobs.dry_run import dry_run
from services.jobs.errors import IllegalTransition, JobChanged, StepNotFound, WebhooksOff
from services.jobs.exposition import exposition
from services.jobs.limits import Limits
from services.jobs.records import WorkerRecord
from services.jobs.rules import Rules
from services.jobs.signatures import as_text, tenant_key
from services.jobs.states import Action
from services.jobs.store import JobList, JobStore, NewJob, Page, QueueLoad, Started, Verdict

ATTEMPTS = 10
"""At an edit: a job also changes otherwise, which says nothing against the edit."""
EVENTS_AT_ONCE = 200
NEWS_SECONDS = 2.0
"""A reader of events looks again after this long, also when nothing told it to."""

_JOB_ID = re.compile("job-[0-9a-z-]{1,64}")


class JobService:
    def __init__(self, store: JobStore, rules: Rules | None = None, webhook_secret: str = "") -> None:
        self._store, self._rules, self._webhook_secret = store, rules or Rules(), webhook_secret

    async def start(self, principal: Principal, start: StartJob, idempotency_key: str | None) -> JobStarted:
        (started,) = await self._store.start([self._new(principal, start, idempotency_key)])
        return _started(started)

    async def start_all(
        self, principal: Principal, starts: Sequence[StartJob], idempotency_key: str | None
    ) -> JobsStarted:
        """All or none; each has a key of its own, made of the one that is given."""
        jobs = [
            self._new(principal, start, idempotency_key and f"{idempotency_key}/{number}", f"body.jobs.{number}")
            for number, start in enumerate(starts)
        ]
        return JobsStarted(jobs=[_started(each) for each in await self._store.start(jobs)])

    def _new(self, principal: Principal, start: StartJob, idempotency_key: str | None, place: str = "body") -> NewJob:
        owner = principal.owner(start.user_id)
        self._rules.check(principal, start, place)
        trace = current_trace()
        return NewJob(
            job_id=new_id("job"),
            owner=owner,
            by=principal.subject,
            start=start,
            traceparent=trace.traceparent if trace else "",
            idempotency_key=idempotency_key,
            fingerprint=fingerprint(start),
        )

    def dry_run(self, principal: Principal, start: StartJob) -> DryRun:
        """What `start` would do; refused as it would be. Does nothing."""
        owner = principal.owner(start.user_id)
        self._rules.check(principal, start)
        return dry_run(start, owner.user, self._rules)

    async def get(self, principal: Principal, job_id: str) -> Job:
        record = await self._store.get(principal.reach(), job_id)
        return record.as_job()

    async def page(
        self, principal: Principal, *, status: JobStatus | None, kind: str | None, user_id: str | None,
        parent_id: str | None, waiting_for_me: bool, limit: int, cursor: str | None,
    ) -> JobPage:  # fmt: skip
        after = _job_of(cursor) if cursor else None
        if parent_id is not None:
            reach = principal.reach(user_id)
            return _page(
                await self._store.children(reach, parent_id, status=status, kind=kind, limit=limit, after=after)
            )
        if waiting_for_me:
            reach, which = Reach(principal.tenant, principal.subject), JobList.INBOX
        else:
            reach, which = principal.reach(user_id), JobList.ALL
        return _page(await self._store.page(reach, which, status=status, kind=kind, limit=limit, after=after))

    async def dead(self, principal: Principal, *, user_id: str | None, limit: int, cursor: str | None) -> JobPage:
        """Jobs that have failed for good, unless a human rejected them."""
        after = _job_of(cursor) if cursor else None
        reach = principal.reach(user_id)
        return _page(await self._store.page(reach, JobList.DEAD, status=None, kind=None, limit=limit, after=after))

    async def steer(self, principal: Principal, job_id: str, action: Action, from_step: int | None = None) -> JobAction:
        reach = principal.reach()
        status = await self._store.steer(reach, job_id, action, principal.subject, from_step=from_step)
        return JobAction(job_id=job_id, status=status)

    async def requeue(self, principal: Principal, job_id: str) -> JobAction:
        """A failed job goes on at the step that failed. Raises IllegalTransition when it has not failed."""
        record = await self._store.get(principal.reach(), job_id)
        if record.status is not JobStatus.FAILED:
            raise IllegalTransition(job_id, Action.RETRY, record.status)
        return await self.steer(principal, job_id, Action.RETRY)

    async def decide(
        self, principal: Principal, job_id: str, step: int, action: Action, decision: Decision
    ) -> JobAction:
        self._rules.check_result(decision.result)
        verdict = Verdict(action, principal.subject, decision.comment, decision.result, principal.may(ADMIN))
        status = await self._store.decide(principal.reach(), job_id, step, verdict)
        return JobAction(job_id=job_id, status=status)

    async def edit(self, principal: Principal, job_id: str, step: int, edit: EditStep) -> JobAction:
        """Another definition for a step that has not begun; the plan must still be one that can run."""
        reach = principal.reach()
        for _ in range(ATTEMPTS):
            seen = await self._store.get(reach, job_id)
            if step >= len(seen.steps):
                raise StepNotFound(job_id, step)
            steps = [each.definition for each in seen.steps]
            steps[step] = edit.definition
            self._rules.check_edit(principal, steps, step)
            by, administers = principal.subject, principal.may(ADMIN)
            if await self._store.edit(reach, seen, step, edit.definition, by, edit.comment, administers=administers):
                return JobAction(job_id=job_id, status=seen.status)
        raise JobChanged(job_id)

    async def events(
        self, reach: Reach, job_ids: Sequence[str], seen: Sequence[int]
    ) -> AsyncGenerator[tuple[list[int], Event], None]:
        """What happens in these jobs after the events that were `seen`, until all have ended: each event with the
        number of the last one of every job, in the order of `job_ids`."""
        places, going = list(seen), dict(enumerate(job_ids))
        async with self._store.watch(*job_ids) as news:
            while going:
                quiet = True
                for number, job_id in list(going.items()):
                    batch = await self._store.events(reach, job_id, after=places[number], limit=EVENTS_AT_ONCE)
                    for event in batch.events:
                        places[number] = event.seq
                        yield list(places), event
                    quiet = quiet and not batch.events
                    if batch.ended:
                        del going[number]
                if quiet and going:
                    await news.wait(NEWS_SECONDS)

    async def require(self, principal: Principal, *job_ids: str) -> Reach:
        """The caller's reach, when the jobs are within it. Raises JobNotFound."""
        reach = principal.reach()
        for job_id in job_ids:
            await self._store.events(reach, job_id, after=0, limit=1)
        return reach

    async def queues(self, principal: Principal) -> list[Queue]:
        """How much waits and runs. Of all tenants only for whoever runs Bureau (scope `operator`)."""
        everybody = OPERATOR in principal.scopes
        return [_queue(load, self._rules.limits, everybody) for load in await self._store.queues(principal.tenant)]

    async def queue_metrics(self, principal: Principal) -> str:
        """The same of all tenants, as Prometheus' text. Raises Forbidden."""
        if OPERATOR not in principal.scopes:
            raise Forbidden(f"this needs the scope {OPERATOR!r}", code="scope_missing")
        return exposition(await self._store.queues(principal.tenant), len(await self._store.workers()))

    def webhook_key(self, principal: Principal) -> str:
        """What the caller's tenant's webhooks are signed with. Raises Forbidden, or WebhooksOff."""
        principal.require(ADMIN)
        if not self._webhook_secret:
            raise WebhooksOff
        return as_text(tenant_key(self._webhook_secret, principal.tenant))

    async def workers(self, principal: Principal) -> list[Worker]:
        reach = principal.reach()
        return [_worker(record, reach) for record in await self._store.workers()]

    async def check_workers(self) -> str:
        """For /health."""
        alive = len(await self._store.workers())
        if not alive:
            raise Degraded("no worker is running: jobs wait until one does")
        return f"{alive} running"


def _started(started: Started) -> JobStarted:
    return JobStarted(job_id=started.job_id, status=started.status, created=started.created)


def _page(page: Page) -> JobPage:
    onward = encode_cursor(page.next_after) if page.next_after else None
    return JobPage(jobs=[row.as_summary() for row in page.jobs], next_cursor=onward)


def _queue(load: QueueLoad, limits: Limits, everybody: bool) -> Queue:
    limit = limits.of("queue", load.queue)
    return Queue(
        name=load.queue, yours=load.own, everybody=load.everybody if everybody else None,
        concurrency=limit.concurrency, rate="{}/{}".format(*limit.rate) if limit.rate else None, depth=limit.depth,
    )  # fmt: skip


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
        queues=record.queues, concurrency=record.concurrency, job_id=visible[0] if visible else None, job_ids=visible,
    )  # fmt: skip
