"""Contracts of a job's steps: what one is told to do. What became of it is `jobs.Step`."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from bureau_contracts.sessions import SessionId
from bureau_contracts.shapes import AgentName, JsonObject, Label, Request, SubjectId, Text

MOST_ITEMS = 1000
"""Items of one `map` step."""
Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
"""At most a year."""


class StepKind(StrEnum):
    AGENT = "agent"
    """One turn of an agent, as the job's owner."""
    TOOL = "tool"
    """One call of a tool, through the runtime and under its policy."""
    HTTP = "http"
    """One request to an address under the operator's allow-list."""
    FUNCTION = "function"
    """A Python coroutine that was registered with the worker."""
    WAIT = "wait"
    """A durable timer; no worker is held meanwhile."""
    BREAKPOINT = "breakpoint"
    """Stops until a human decides."""
    MAP = "map"
    """A child job for each item of a list, some at a time; no worker is held meanwhile."""


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
OWN_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding"})
"""What a request's address and body say; another `host` would lead past the operator's allow-list."""
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


class ToolUse(Request):
    """Which tool a `tool` step calls, with the step's `arguments`."""

    name: Label
    agent: AgentName | None = None
    """Whose tools: an agent's own, and those it is allowed. None: the registry's."""


class OnExpiry(StrEnum):
    """What becomes of a breakpoint that nobody decided in time."""

    REJECT = "reject"
    APPROVE = "approve"
    SKIP = "skip"


class Approval(Request):
    """Who may decide on a breakpoint, and until when."""

    approvers: list[SubjectId] = Field(default_factory=list, max_length=50)
    """Users who may; then nobody else may, the owner neither, but who administers the tenant. They see the job. Empty:
    whoever may steer it."""
    expires_seconds: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] | None = None
    """How long it waits; None: for ever. Stands still while the job is paused."""
    on_expiry: OnExpiry = OnExpiry.REJECT


class MapOver(Request):
    """What a `map` step does with each item of a list. A child's `input` is the job's, with the step's `arguments`,
    `item` and `item_index` (0, 1, 2 …) put in. The step's result lists, in order of the items,
    ``{"job_id", "status", "result", "error"}``."""

    items: Any
    """A list, or a reference to one: ``{{ steps.fetch.body.ids }}``. At most a thousand."""
    steps: "list[NewStep]" = Field(min_length=1, max_length=20)
    """Of each child. Not `map` again."""
    parallel: Annotated[int, Field(ge=1, le=100)] = 4
    """Children under way at once."""
    partial: bool = False
    """Pass although some children failed. Else the step fails at the first: what is under way ends, nothing more
    begins; a retry keeps what succeeded."""


class NewStep(Request):
    name: Label
    kind: StepKind
    message: Text | None = None
    """`agent`: what the agent is asked. May name an earlier result: ``{{ steps.fetch.reply }}``."""
    agent: AgentName | None = None
    """`agent`: which; None lets the runtime route."""
    session_id: SessionId | None = None
    """`agent`: in which session; None gives the whole job one session of its own."""
    tool: ToolUse | None = None
    """`tool`: which."""
    request: HttpCall | None = None
    """`http`: what is sent."""
    function: Label | None = None
    """`function`: the registered name. Whoever starts the job needs the scope ``function:<name>``."""
    arguments: JsonObject = Field(default_factory=dict)
    """`tool`, `function`, `map`. May name earlier results."""
    seconds: Seconds | None = None
    """`wait`: for how long."""
    approval: Approval = Field(default_factory=Approval)
    """`breakpoint`."""
    map: MapOver | None = None
    """`map`: over what, and what is done."""
    repeatable: bool | None = None
    """May the step be executed again when nobody knows how far it came? None: an `agent` step may, because a repeated
    turn carries the same turn_id and is recorded once; an `http` step when its method is safe or PUT or DELETE, or its
    target honours the Idempotency-Key; a `map` may; a `function` and a `tool` may not."""
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    backoff_seconds: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    """Pause before the second attempt; it doubles with each further one, and half of it is random. None: the worker's
    own."""
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120
    """Of one attempt."""


MapOver.model_rebuild()
