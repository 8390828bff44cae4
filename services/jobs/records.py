"""A job as the stores keep it, and how it is shown to callers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bureau_contracts.jobs import Children, Job, JobStatus, JobSummary, StartJob, Step, StepVersion
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import HttpMethod, NewStep, StepKind, StepStatus
from kit.identity import Owner
from kit.telemetry import parse_traceparent

REPEATABLE_METHODS = frozenset({HttpMethod.GET, HttpMethod.HEAD, HttpMethod.PUT, HttpMethod.DELETE})
"""Once or several times, the effect is the same: RFC 9110, section 9.2.2."""


@dataclass
class StepRecord:
    definition: NewStep
    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    result: Any = None
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    verdict: JsonObject | None = None
    progress: float | None = None
    note: str = ""
    state: Any = None
    """What a function kept at its last checkpoint."""
    expires_at: datetime | None = None
    children: Children | None = None
    versions: list[StepVersion] = field(default_factory=list)
    redo: int = 0
    """How often somebody went back to before it after it had been done, or gave it another definition."""


@dataclass
class JobRecord:
    job_id: str
    owner: Owner
    start: StartJob
    """What was asked for; never changes."""
    status: JobStatus
    created_at: datetime
    last_update: datetime
    steps: list[StepRecord]
    cursor: int = 0
    """Index of the step that is next or under way."""
    attempt: int = 1
    """How often the job was run: 1, and one more with every retry of a failed job."""
    error: str | None = None
    traceparent: str = ""
    schedule_id: str | None = None
    started_at: datetime | None = None
    deadline: datetime | None = None
    cost: float = 0
    idempotency_key: str | None = None
    edits: int = 0
    """How often a step of it was given another definition."""
    item: str | None = None
    """Set when it is a child of a `map` step."""

    def as_job(self) -> Job:
        trace = parse_traceparent(self.traceparent)
        return Job(
            job_id=self.job_id, kind=self.start.kind, title=self.start.title,
            tenant=self.owner.tenant, owner=self.owner.user, status=self.status,
            steps=[_step(index, step) for index, step in enumerate(self.steps)],
            current_step=self.cursor, progress=_progress(self.cursor + self._part_done(), len(self.steps)),
            queue=self.start.queue, priority=self.start.priority, attempt=self.attempt, input=self.start.input,
            result=self.steps[-1].result if self.status is JobStatus.SUCCEEDED else None,
            error=self.error, created_at=self.created_at, started_at=self.started_at, last_update=self.last_update,
            deadline=self.deadline, cost=self.cost, idempotency_key=self.idempotency_key,
            parent_id=self.start.parent_id, trace_id=trace.trace_id if trace else None, schedule_id=self.schedule_id,
        )  # fmt: skip

    def _part_done(self) -> float:
        """0 … 1: how far the step under way says it is."""
        if self.cursor == len(self.steps):
            return 0
        step = self.steps[self.cursor]
        if step.children is not None:
            return step.children.ended / max(step.children.total, 1)
        return step.progress or 0


@dataclass(frozen=True)
class Summary:
    """One row of a list of jobs."""

    job_id: str
    kind: str
    title: str
    owner: str
    status: JobStatus
    cursor: int
    step_count: int
    created_at: datetime
    last_update: datetime

    def as_summary(self) -> JobSummary:
        return JobSummary(
            job_id=self.job_id, kind=self.kind, title=self.title, owner=self.owner, status=self.status,
            current_step=self.cursor, step_count=self.step_count, progress=_progress(self.cursor, self.step_count),
            created_at=self.created_at, last_update=self.last_update,
        )  # fmt: skip


@dataclass(frozen=True)
class WorkerRecord:
    worker_id: str
    started_at: datetime
    last_seen: datetime
    jobs: list[tuple[Owner, str]] = field(default_factory=list)
    """What it is doing, and for whom."""
    queues: list[str] = field(default_factory=list)
    concurrency: int = 1


def repeatable(step: NewStep) -> bool:
    """Whether the step may be executed again when nobody knows how far it came."""
    if step.repeatable is not None:
        return step.repeatable
    if step.request is not None:
        return step.request.idempotent or step.request.method in REPEATABLE_METHODS
    return step.kind not in (StepKind.FUNCTION, StepKind.TOOL)


def _step(index: int, step: StepRecord) -> Step:
    return Step(
        index=index, name=step.definition.name, kind=step.definition.kind, status=step.status, attempts=step.attempts,
        result=step.result, error=step.error, started_at=step.started_at, finished_at=step.finished_at,
        definition=step.definition, verdict=step.verdict, progress=step.progress, note=step.note,
        expires_at=step.expires_at, children=step.children, versions=step.versions,
    )  # fmt: skip


def _progress(done: float, count: int) -> float:
    return round(done / count, 4)
