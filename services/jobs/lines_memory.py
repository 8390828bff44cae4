"""Which job goes next: `lua/shared/queue.lua` in plain Python. A line is not kept, but looked for among the jobs."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from bureau_contracts.jobs import JobStatus, Load
from services.jobs.job_memory import Kept, State
from services.jobs.limits import SCOPES, Limit
from services.jobs.states import HELD
from services.jobs.store import NewJob

WAITING = frozenset({JobStatus.QUEUED})
RUNNING = HELD


class Lines(Kept):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.turns: dict[str, dict[str, int]] = {}
        """Of each queue the tenants that have jobs waiting, by how often it was their turn."""
        self.turn: dict[str, int] = {}
        """Of each queue the last one."""
        self.rates: dict[tuple[str, str], datetime] = {}
        self.places = 0

    def limit(self, scope: str, name: str) -> Limit:
        return self.bounds.limits.of(scope, name)

    def counted(self, statuses: Collection[JobStatus], scope: str, name: str) -> int:
        return sum(job.record.status in statuses and scopes(job)[scope] == name for job in self.jobs.values())

    def full(self, scope: str, name: str) -> bool:
        most = self.limit(scope, name).concurrency
        return most is not None and self.counted(RUNNING, scope, name) >= most

    def too_deep(self, jobs: Iterable[NewJob]) -> tuple[str, str, int] | None:
        """The limit of waiting jobs that is passed when these come too, as scope, name, most."""
        more: dict[tuple[str, str], int] = {}
        for job in jobs:
            names = {"queue": job.start.queue, "kind": job.start.kind, "tenant": job.owner.tenant}
            for scope in SCOPES:
                name = names[scope]
                more[scope, name] = more.get((scope, name), 0) + 1
                most = self.limit(scope, name).depth
                if most is not None and self.counted(WAITING, scope, name) + more[scope, name] > most:
                    return scope, name, most
        return None

    def too_soon(self, scope: str, name: str) -> bool:
        """The generic cell rate algorithm: when the next one may begin, were they evenly spread; early by a burst at
        most."""
        rate, now = self.limit(scope, name).rate, self.now()
        if rate is None:
            return False
        count, seconds = rate
        return self.rates.get((scope, name), now) - now > timedelta(seconds=seconds - seconds / count)

    def charge(self, scope: str, name: str) -> None:
        rate, now = self.limit(scope, name).rate, self.now()
        if rate is not None:
            count, seconds = rate
            at = max(now, self.rates.get((scope, name), now))
            self.rates[scope, name] = at + timedelta(seconds=seconds / count)

    def enqueue(self, job: State) -> None:
        if job.place is None:
            # Kept: who is interrupted comes back to where it was.
            self.places += 1
            job.place = self.places
        job.waits_since = self.now()
        queue = job.record.start.queue
        # Who was away has not saved up turns, and who comes and goes gets none before its time.
        self.turns.setdefault(queue, {}).setdefault(job.tenant, self.turn.get(queue, 0) + 1)
        self.arrived.set()

    def dequeue(self, job: State) -> None:
        job.waits_since = None
        queue = job.record.start.queue
        if not self.line(queue, job.tenant):
            del self.turns[queue][job.tenant]

    def line(self, queue: str, tenant: str) -> list[State]:
        """The tenant's waiting jobs, in order."""
        waiting = [
            job
            for job in self.jobs.values()
            if job.waits_since and job.tenant == tenant and job.record.start.queue == queue
        ]
        return sorted(waiting, key=lambda job: (-job.record.start.priority, job.place))

    def line_of(self, job: State) -> str:
        """Kinds with a limit of their own stand in a line of their own, so as not to be in the way of others."""
        rule = self.limit("kind", job.record.start.kind)
        return "" if rule.concurrency is None and rule.rate is None else job.record.start.kind

    def hold(self, job: State) -> None:
        """A worker has it from now on."""
        job.epoch += 1
        job.leased_until = self.now() + timedelta(seconds=self.bounds.lease_seconds)
        if job.record.started_at is None:
            job.record.started_at = self.now()
            for scope, name in scopes(job).items():
                self.charge(scope, name)

    def let_go(self, job: State) -> None:
        job.leased_until = None
        # It may have stood in the way of jobs in any queue.
        self.arrived.set()

    def may_begin(self, job: State) -> bool:
        began = job.record.started_at is not None
        return began or not any(self.too_soon(scope, name) for scope, name in scopes(job).items())

    def next_of(self, queue: str, tenant: str) -> State | None:
        """The tenant's job that goes next, as far as limits allow."""
        if self.full("tenant", tenant):
            return None
        heads: dict[str, State] = {}
        for job in self.line(queue, tenant):
            heads.setdefault(self.line_of(job), job)
        for kind, job in heads.items():
            if not (kind and self.full("kind", kind)) and self.may_begin(job):
                return job
        return None

    def next_in(self, queue: str) -> State | None:
        """The queue's job that goes next; counts as its tenant's turn."""
        if self.full("queue", queue):
            return None
        turns = self.turns.get(queue, {})
        for tenant in sorted(turns, key=lambda name: (turns[name], name)):
            job = self.next_of(queue, tenant)
            if job is not None:
                self.turn[queue] = max(turns[tenant], self.turn.get(queue, 0))
                turns[tenant] = self.turn[queue] + 1
                return job
        return None

    def load(self, queue: str, tenant: str | None = None) -> Load:
        """Of one tenant, or of everybody."""
        jobs = [each for each in self.jobs.values() if each.record.start.queue == queue]
        jobs = [each for each in jobs if tenant in (None, each.tenant)]
        since = min((each.waits_since for each in jobs if each.waits_since), default=None)
        return Load(
            waiting=sum(each.record.status in WAITING for each in jobs),
            running=sum(each.record.status in RUNNING for each in jobs),
            oldest_seconds=round((self.now() - since).total_seconds(), 3) if since else 0,
        )


def scopes(job: State) -> dict[str, str]:
    """Everything that a job is counted under."""
    start = job.record.start
    return {"queue": start.queue, "kind": start.kind, "tenant": job.tenant}
