"""Contracts of jobs: work that outlives a request."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.shapes import Answer, JsonObject, Label, Money, Request, SubjectId, Timestamp
from bureau_contracts.steps import NewStep, StepKind, StepStatus

JobId = Annotated[str, StringConstraints(pattern=r"^job-[0-9a-z-]{1,64}$")]
QueueName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
DEFAULT_QUEUE = "default"
MOST_JOBS_AT_ONCE = 100
"""Jobs of one batch."""
MOST_JOBS_WATCHED = 50
"""Jobs of one event stream."""
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]


class JobStatus(StrEnum):
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    """Waits without a worker: for a moment (a start in the future, a retry, a `wait` step), or for its children."""
    RUNNING = "running"
    PAUSING = "pausing"
    """A pause was asked for; the running step is still at work."""
    PAUSED = "paused"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StartJob(Request):
    """POST /jobs/start. The same Idempotency-Key returns the same job; with another body it is 409."""

    title: Label
    kind: Label = "runbook"
    steps: list[NewStep] = Field(min_length=1, max_length=200)
    user_id: SubjectId | None = None
    """Whose job; None means the caller's own. Another's needs a tenant-wide scope."""
    input: JsonObject = Field(default_factory=dict)
    autonomy_level: AutonomyLevel = AutonomyLevel.L2
    queue: QueueName = DEFAULT_QUEUE
    """Workers serve queues; a queue may have limits."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Of jobs of the same tenant in the same queue the highest goes first. Tenants take turns, whatever theirs are."""
    start_at: Timestamp | None = None
    """Not before; None: now."""
    deadline_seconds: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] | None = None
    """From the start to the end; a job that takes longer fails. Time that it is paused, or waits for a human, does not
    count."""
    parent_id: JobId | None = None
    """A job of the same owner that has not ended: pausing, resuming and cancelling it does the same to this one."""
    webhook_url: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Is told, signed, when the job has ended; under the operator's allow-list."""


class StartJobs(Request):
    """POST /jobs/batch: all are started, or none. The same Idempotency-Key returns the same jobs."""

    jobs: list[StartJob] = Field(min_length=1, max_length=MOST_JOBS_AT_ONCE)


class JobStarted(Answer):
    job_id: str
    status: JobStatus
    created: bool = True
    """False when the Idempotency-Key was known: the job is the one that was started first."""


class JobsStarted(Answer):
    jobs: list[JobStarted]


class DryStep(Answer):
    """What a step would do."""

    index: int
    name: str
    kind: StepKind
    would: str
    """In one sentence."""
    definition: NewStep
    """With what is known before the start filled in; references to results stay as they are written."""
    waits_for: list[str] = []
    """The results that it needs and only the run will know: ``steps.fetch.reply``."""
    effects: bool
    """Whether it may change anything outside of Bureau, as far as can be told: an agent and a function may."""
    repeatable: bool
    """Whether it is executed again when its worker dies; else a human is asked."""
    needs_approval: bool = False
    longest_seconds: float | None
    """All attempts and the pauses between them, at worst, once a worker has it; None when a human decides how long."""
    problems: list[str] = []
    """Why it would fail, as far as that is known now."""


class DryRun(Answer):
    """POST /jobs/dry-run: what a job would do. Nothing was called and nothing is kept."""

    title: str
    owner: str
    steps: list[DryStep]
    longest_seconds: float
    """Of all steps at worst, without the time that humans and queues take."""
    approvals: int
    """How often it stops for a human."""
    unchecked: list[str] = []
    """What cannot be known before the run."""
    ok: bool
    """No step has a problem."""


class StepVersion(Answer):
    """What a step was told to do until somebody changed it."""

    definition: NewStep
    by: str
    """Who changed it."""
    at: Timestamp
    comment: str = ""


class Children(Answer):
    """How far a `map` step is."""

    total: int
    ended: int
    failed: int
    """Of those that have ended."""


class Step(Answer):
    index: int
    """0-based; the `n` of /jobs/{id}/steps/{n}."""
    name: str
    kind: StepKind
    status: StepStatus
    attempts: int = 0
    result: Any = None
    error: str | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    definition: NewStep
    verdict: JsonObject | None = None
    """A human's decision on it: ``{"decision", "by", "comment", "at"}``."""
    progress: float | None = None
    """0 … 1, as the step itself reported it."""
    note: str = ""
    """What it said with that."""
    expires_at: Timestamp | None = None
    """`breakpoint`: when it is decided by itself; None also while the job is paused."""
    children: Children | None = None
    versions: list[StepVersion] = []
    """What it was told before it was edited, oldest first."""


class Job(Answer):
    job_id: str
    kind: str
    title: str
    tenant: str
    owner: str
    status: JobStatus
    steps: list[Step]
    current_step: int
    """Index of the next step to run; equals the number of steps when all are done."""
    progress: float
    """0 … 1: steps done over all, the one under way counted as far as it says."""
    queue: str = DEFAULT_QUEUE
    priority: int = 5
    attempt: int = 0
    input: JsonObject = {}
    result: Any = None
    error: str | None = None
    created_at: Timestamp
    started_at: Timestamp | None = None
    """When a worker first had it."""
    last_update: Timestamp
    deadline: Timestamp | None = None
    """When it fails unless it has ended; None also while it is paused or waits for a human."""
    cost: Money = 0
    """Of the agents' turns that passed, children's included."""
    idempotency_key: str | None = None
    parent_id: str | None = None
    trace_id: str | None = None
    """Of the request that started it; its steps continue this trace."""
    schedule_id: str | None = None
    """The schedule that started it, also when that was deleted since."""


class JobSummary(Answer):
    job_id: str
    kind: str
    title: str
    owner: str
    status: JobStatus
    current_step: int
    step_count: int
    progress: float
    created_at: Timestamp
    last_update: Timestamp


class JobPage(Answer):
    jobs: list[JobSummary]
    next_cursor: str | None = None


class JobAction(Answer):
    job_id: str
    status: JobStatus


Comment = Annotated[str, StringConstraints(max_length=4000)]


class Decision(Request):
    """POST /jobs/{id}/steps/{n}/approve, reject or skip."""

    comment: Comment = ""
    result: Any = None
    """Approve: what the step has brought about; for one of unknown outcome, so that later steps can refer to it."""


class EditStep(Request):
    """POST /jobs/{id}/steps/{n}/edit: another definition for a step that has not begun, while its job is paused or
    waits for a human."""

    definition: NewStep
    comment: Comment = ""


class RetryJob(Request):
    """POST /jobs/{id}/retry."""

    from_step: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Index of an earlier step to begin with again: its result and all later ones are given up. None: the step at which
    the job stands."""


class Worker(Answer):
    worker_id: str
    started_at: Timestamp
    last_seen: Timestamp
    queues: list[str] = []
    """Which it serves; ``*`` is all."""
    concurrency: int = 1
    """Jobs that it runs at once."""
    job_id: str | None = None
    """What it is doing, None when idle; only shown for jobs within the caller's reach."""
    job_ids: list[str] = []
    """All of it."""


class WorkerList(Answer):
    workers: list[Worker]


class Load(Answer):
    """Jobs in a queue."""

    waiting: int = 0
    running: int = 0
    oldest_seconds: float = 0
    """How long the one that waits longest has waited."""


class Queue(Answer):
    name: str
    yours: Load
    """Of the caller's tenant."""
    everybody: Load | None = None
    """Of all tenants; only for the scope ``operator``. What an autoscaler looks at."""
    concurrency: int | None = None
    """Jobs of it that run at once at most; None: no limit. Tenants and kinds may have limits beside it."""
    rate: str | None = None
    """Jobs that begin, per seconds: ``10/60``."""
    depth: int | None = None
    """Jobs that may wait; further ones are refused."""


class QueueList(Answer):
    """GET /jobs/queues."""

    queues: list[Queue]


class WebhookKey(Answer):
    """GET /jobs/webhook-key: what the tenant's webhooks are signed with."""

    key: str
    """``whsec_…``, for any library of Standard Webhooks."""
