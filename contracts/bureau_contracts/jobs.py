"""Contracts of jobs: work that outlives a request."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.sessions import SessionId
from bureau_contracts.shapes import AgentName, Answer, JsonObject, Label, Request, SubjectId, Text, Timestamp

JobId = Annotated[str, StringConstraints(pattern=r"^job-[0-9a-z-]{1,64}$")]
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]


class JobStatus(StrEnum):
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    """Waits for a moment: a start in the future, a retry, or a `wait` step."""
    RUNNING = "running"
    PAUSING = "pausing"
    """A pause was asked for; the running step is still at work."""
    PAUSED = "paused"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    AGENT = "agent"
    """One turn of an agent, as the job's owner."""
    WAIT = "wait"
    """A durable timer; no worker is held meanwhile."""
    BREAKPOINT = "breakpoint"
    """Stops until a human decides."""
    FUNCTION = "function"
    """A Python coroutine that was registered with the worker."""
    HTTP = "http"
    """One request to an address under the operator's allow-list."""


class StepStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN_OUTCOME = "unknown_outcome"
    """Was under way when its worker died and may not be repeated: a human decides."""


class HttpMethod(StrEnum):
    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,4000}$")]


class HttpCall(Request):
    """What an `http` step sends. It always carries an `Idempotency-Key` that is the same for every attempt."""

    method: HttpMethod = HttpMethod.GET
    url: Annotated[str, StringConstraints(min_length=1, max_length=4000)]
    """May name earlier results; what is put in is percent-encoded, so that it stays one part of the path or query."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=50)
    """Kept with the job and shown with it: no place for secrets."""
    body: Any = None
    """Sent as JSON; None sends none. May name earlier results."""
    idempotent: bool = False
    """The target does nothing twice under one Idempotency-Key, so that the request may be repeated after a crash."""


class NewStep(Request):
    name: Label
    kind: StepKind
    message: Text | None = None
    """`agent`: what the agent is asked. May name an earlier result: ``{{ steps.fetch.reply }}``."""
    agent: AgentName | None = None
    """`agent`: which; None lets the runtime route."""
    session_id: SessionId | None = None
    """`agent`: in which session; None gives the whole job one session of its own."""
    seconds: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] | None = None
    """`wait`: for how long."""
    function: Label | None = None
    """`function`: the registered name."""
    request: HttpCall | None = None
    """`http`: what is sent."""
    arguments: JsonObject = Field(default_factory=dict)
    repeatable: bool | None = None
    """May the step be executed again when nobody knows how far it came? None: an `agent` step may, because a repeated
    turn carries the same turn_id and is recorded once; an `http` step when its method is safe or PUT or DELETE, or its
    target honours the Idempotency-Key; a `function` may not."""
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120


class StartJob(Request):
    """POST /jobs/start. The same Idempotency-Key returns the same job; with another body it is 409."""

    title: Label
    kind: Label = "runbook"
    steps: list[NewStep] = Field(min_length=1, max_length=200)
    user_id: SubjectId | None = None
    """Whose job; None means the caller's own. Another's needs a tenant-wide scope."""
    input: JsonObject = Field(default_factory=dict)
    autonomy_level: AutonomyLevel = AutonomyLevel.L2


class JobStarted(Answer):
    job_id: str
    status: JobStatus
    created: bool = True
    """False when the Idempotency-Key was known: the job is the one that was started first."""


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
    """0 … 1: steps done over all."""
    attempt: int = 0
    input: JsonObject = {}
    result: Any = None
    error: str | None = None
    created_at: Timestamp
    last_update: Timestamp
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


class Decision(Request):
    """POST /jobs/{id}/steps/{n}/approve, reject or skip."""

    comment: Annotated[str, StringConstraints(max_length=4000)] = ""


class Worker(Answer):
    worker_id: str
    started_at: Timestamp
    last_seen: Timestamp
    job_id: str | None = None
    """What it is doing, None when idle; only shown for jobs of the caller's tenant."""


class WorkerList(Answer):
    workers: list[Worker]
