"""Contracts of sessions: every conversation, whole and in order."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.shapes import (
    AgentName,
    Answer,
    JsonObject,
    Label,
    Money,
    NoNul,
    Request,
    SubjectId,
    Text,
    Timestamp,
    Tokens,
    TraceId,
)

SessionId = Annotated[str, StringConstraints(pattern=r"^sess-[0-9a-z-]{1,64}$")]


class SessionStatus(StrEnum):
    """What a session is doing."""

    IDLE = "idle"
    PLANNING = "planning"
    EXECUTING = "executing"
    EXECUTING_QUEUED = "executing_queued"
    WAITING_APPROVAL = "waiting_approval"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    ERROR = "error"
    INTERRUPTED = "interrupted"


class Lifecycle(StrEnum):
    """Where a session is in its life; archived ones are read-only."""

    ACTIVE = "active"
    EXPIRED = "expired"
    ARCHIVED = "archived"


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class ToolCall(Request):
    """A model's wish to call a tool, kept as structure so that a later turn can show it to a model again."""

    call_id: Label
    name: Label
    arguments: JsonObject = Field(default_factory=dict)


class ToolResult(Request):
    call_id: Label
    name: Label
    result: Any = None
    error: Text | None = None


class NewMessage(Request):
    """POST /sessions/{id}/history, and part of a turn."""

    role: Role
    content: Text | list[JsonObject] = ""
    """Text, or typed parts (``{"type": "text", "text": …}``) that are kept as they are."""
    agent: AgentName | None = None
    tool_calls: list[ToolCall] = Field(default_factory=list, max_length=100)
    tool_results: list[ToolResult] = Field(default_factory=list, max_length=100)
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cost: Money | None = None
    trace_id: TraceId | None = None
    """Defaults to the trace of the request that adds the message."""
    metadata: JsonObject = Field(default_factory=dict)
    """The caller's own: kept as it is, shown to no model."""


class Message(Answer):
    seq: int
    """1, 2, 3 … within the session, without a gap."""
    message_id: str
    role: Role
    content: str | list[JsonObject]
    agent: str | None = None
    tool_calls: list[ToolCall] = []
    tool_results: list[ToolResult] = []
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    trace_id: str | None = None
    metadata: JsonObject = {}
    timestamp: Timestamp


class NewInvocation(Request):
    """POST /sessions/{id}/invocations: one agent was asked and answered, or failed."""

    agent_name: AgentName
    query: Text
    response: Text = ""
    success: bool = True
    error_message: Text | None = None
    duration_ms: Annotated[float, Field(ge=0, le=10**10, allow_inf_nan=False)] = 0
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cost: Money | None = None
    trace_id: TraceId | None = None


class Invocation(Answer):
    agent_name: str
    query: str
    response: str
    success: bool
    error_message: str | None = None
    duration_ms: float
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    trace_id: str | None = None
    timestamp: Timestamp


class Context(Request):
    """What the last turn was about, so that "show details" finds the agent that answered before."""

    last_agent_called: AgentName | None = None
    last_query: Text | None = None
    last_response: Text | None = None


class NewSession(Request):
    """POST /sessions."""

    user_id: SubjectId | None = None
    """Whose session; None means the caller's own. Another's needs a tenant-wide scope."""
    session_id: SessionId | None = None
    """Chosen by the caller, or made by the service. An id that exists answers 409."""
    title: Annotated[str, StringConstraints(max_length=300), NoNul] = ""
    autonomy_level: AutonomyLevel = AutonomyLevel.L2
    metadata: JsonObject = Field(default_factory=dict)
    state: JsonObject = Field(default_factory=dict)


class Session(Answer):
    session_id: str
    tenant: str
    user_id: str
    title: str
    status: SessionStatus
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    autonomy_level: AutonomyLevel
    metadata: JsonObject
    state: JsonObject
    created_at: Timestamp
    updated_at: Timestamp
    last_activity: Timestamp
    expires_at: Timestamp | None = None
    """When it expires unless something happens in it; None: never, or it is archived."""
    message_count: int
    version: int
    """Counts every change of the session from 1."""
    branch: int = 0
    """The branch that is written to; a rewind begins another one."""
    forked_from: str | None = None
    """The session that this one branched off."""


class SessionCreated(Answer):
    session_id: str


class SessionPage(Answer):
    sessions: list[Session]
    next_cursor: str | None = None


class SessionView(Answer):
    """GET /sessions/{id}."""

    session: Session
    conversation_history: list[Message]
    """The last `history_limit` messages, oldest first."""
    agents_invoked: list[Invocation]
    """The last 50, oldest first."""
    context: Context


class HistoryPage(Answer):
    """Messages in ascending `seq`; `next_after` and `next_before` go on in either direction, None at an end."""

    messages: list[Message]
    next_before: int | None = None
    next_after: int | None = None


class MessageAdded(Answer):
    status: str = "added"
    seq: int


class Tracked(Answer):
    status: str = "tracked"


class Updated(Answer):
    status: str = "updated"


class Deleted(Answer):
    status: str = "deleted"


class SessionResumed(Answer):
    status: str = "resumed"
    expires_at: Timestamp | None = None


class CleanUpSessions(Request):
    """POST /sessions/cleanup: archives sessions that are completed, with errors or without, and lie idle for long."""

    older_than_days: Annotated[int, Field(ge=0, le=36_500)] = 7
    """Since the last activity."""
    user_id: SubjectId | None = None
    """None: one's own; with a tenant-wide scope everybody's."""
    purge: bool = False
    """They are erased instead."""
    dry_run: bool = False
    """They are counted, and nothing is changed."""


class SessionsCleanedUp(Answer):
    status: str = "cleaned_up"
    sessions: int
    """That were archived or purged, or would have been."""
    dry_run: bool = False


class SessionsErased(Answer):
    """DELETE /sessions: everything of one person is gone."""

    status: str = "erased"
    sessions: int
    user_state: bool
    """Whether there were keys of the person's own (`user:`)."""


class BackupMade(Answer):
    """POST /sessions/backup: a copy of the whole SQLite file, as of one moment, lies beside it."""

    name: str
    """Of the file, in the folder `backups` beside the database."""
    size: int
    """Bytes."""
    seconds: float


class SnippetPart(Answer):
    text: str
    match: bool = False
    """Whether this is what was looked for."""


class SearchHit(Answer):
    session_id: str
    """A session that shows the message: its own, or a fork of it."""
    seq: int
    message_id: str
    role: Role
    agent: str | None = None
    snippet: list[SnippetPart]
    """A piece of the message around what was found; joined, the parts are a text. Nothing in it is escaped."""
    score: float
    """Between 0 and 1: how much of the message is what was looked for. Hits are not ordered by it."""
    timestamp: Timestamp


class SearchPage(Answer):
    """GET /sessions/search: what was stored last comes first."""

    hits: list[SearchHit]
    next_cursor: str | None = None
    """There may be more; a page can be short, or empty, and still have one."""
    indexing: bool = False
    """Old messages are still being indexed: later there may be more hits."""


class StatusChange(Request):
    """PATCH /sessions/{id}/status. A transition that is not legal answers 409."""

    status: SessionStatus
    reason: Text | None = None


class StatePatch(Request):
    """PATCH /sessions/{id}/state: keys are set; a null deletes one.

    ``user:`` keys are seen in all sessions of the user, ``app:`` keys in all of the tenant; ``temp:`` ones are not
    stored.
    """

    state: JsonObject


class StateAnswer(Answer):
    state: JsonObject
    version: int


class NewTurn(Request):
    """POST /sessions/{id}/turns: everything that one turn did, stored in one transaction or not at all."""

    turn_id: Annotated[str, StringConstraints(pattern=r"^turn-[0-9a-z-]{1,64}$")]
    """The same turn sent twice is stored once and gets the first answer."""
    messages: list[NewMessage] = Field(default_factory=list, max_length=1000)
    invocations: list[NewInvocation] = Field(default_factory=list, max_length=100)
    context: Context | None = None
    state: JsonObject | None = None
    status: SessionStatus | None = None
    answer: JsonObject | None = None
    """What the caller of the turn was answered; given back by GET /sessions/{id}/turns/{turn_id}."""
    fencing_token: int | None = None
    """Of the writer's lease. While somebody holds a lease, a turn without its token answers 409."""
    expected_version: Annotated[int, Field(ge=1)] | None = None
    """The session's version that the turn was made from: 409 `version_conflict` when it is another by now."""


class TurnStored(Answer):
    status: str = "stored"
    first_seq: int | None = None
    last_seq: int | None = None
    version: int
    answer: JsonObject | None = None


class ExportedSegment(Answer):
    branch: int
    last_seq: int


class ExportedMessage(Message):
    branch: int = 0


class ExportedBranch(Answer):
    """What the session showed until a rewind."""

    branch: int
    lineage: list[ExportedSegment] = []
    message_count: int
    left_at: Timestamp
    state: JsonObject
    context: Context


class ExportedTurn(Answer):
    turn_id: str
    digest: str
    answer: TurnStored
    stored_at: Timestamp


class ExportedUndo(Answer):
    """What a change of state and context replaced; see `rewind`."""

    branch: int
    at_seq: int
    state: JsonObject
    context: Context | None = None


class SessionExport(Request):
    """GET /sessions/{id}/export and POST /sessions/import: a session with everything in it.

    A fork's export stands alone: the messages that it shows of other sessions are in it, on branches of its own.
    State under `user:` and `app:` belongs to others than the session, and is not in it.
    """

    format: Literal["bureau.session"] = "bureau.session"
    format_version: Literal[1] = 1
    session: Session
    context: Context
    lineage: list[ExportedSegment] = []
    last_fencing_token: Annotated[int, Field(ge=0, le=2**53)] = 0
    branches: list[ExportedBranch] = []
    undos: list[ExportedUndo] = []
    turns: list[ExportedTurn] = []
    invocations: list[Invocation] = []
    messages: list[ExportedMessage] = []


class SessionImported(Answer):
    status: str = "imported"
    session_id: str
    message_count: int


class AcquireLease(Request):
    """POST /sessions/{id}/lease: become the session's only writer. 409 while somebody else is."""

    holder: Label
    ttl_seconds: Annotated[float, Field(gt=0, le=600)] = 30


class RenewLease(Request):
    """PUT /sessions/{id}/lease/renew. 409 when the lease was lost."""

    fencing_token: int
    ttl_seconds: Annotated[float, Field(gt=0, le=600)] = 30


class Lease(Answer):
    fencing_token: int
    """Grows with every new holder of this session's lease."""
    holder: str
    expires_at: Timestamp


class ForkSession(Request):
    """POST /sessions/{id}/fork: a new session of the same owner that shows this one's messages up to `at_seq`."""

    at_seq: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """None: all of them."""
    branch: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Of which branch; None: the one that is written to. State and context are then as they were at that point."""
    title: Annotated[str, StringConstraints(max_length=300), NoNul] | None = None
    """None: the same."""
    session_id: SessionId | None = None
    """Chosen by the caller, or made by the service. An id that exists answers 409."""


class SessionForked(Answer):
    status: str = "forked"
    session_id: str
    forked_from: str
    at_seq: int


class RewindSession(Request):
    """POST /sessions/{id}/rewind: goes back to the message `to_seq`. What came after stays on a branch of its own."""

    to_seq: Annotated[int, Field(ge=0, le=2**53)]
    fencing_token: int | None = None
    """Of the writer's lease; while somebody holds one, needed as for a turn."""


class SessionRewound(Answer):
    status: str = "rewound"
    message_count: int
    branch: int
    version: int


class Branch(Answer):
    branch: int
    message_count: int
    left_at: Timestamp | None = None
    """When a rewind left it; None for the one that is written to."""


class BranchList(Answer):
    branches: list[Branch]
    """The latest first."""


class CompactSession(Request):
    """POST /sessions/{id}/compact: makes a summary stand for older messages, when all would be over `max_tokens`."""

    max_tokens: Annotated[int, Field(ge=100, le=200_000)] = 1500
    """Of the summary and the messages behind it, together."""
    keep_last: Annotated[int, Field(ge=0, le=1000)] | None = None
    """So many messages stay as they are, whatever their size; None: those that fit."""


class Covers(Answer):
    first_seq: int
    last_seq: int


class Summary(Answer):
    """GET /sessions/{id}/summary. The messages that it covers stay, readable and searchable."""

    text: str
    covers: Covers
    made_by: str
    """``extractive``, or a model (``openai:NAME``); after a failure, what failed as well."""
    tokens_before: int
    """Of the messages that it covers."""
    tokens_after: int
    """Of its text."""
    created_at: Timestamp


class Window(Answer):
    """GET /sessions/{id}/window: what a model is shown of a session."""

    summary: Summary | None = None
    messages: list[Message]
    """The newest ones that fit, oldest first; what the summary covers is not among them."""
    tokens: int
    """Of both: what providers counted, else an estimate."""
    omitted: int
    """Messages that are neither covered nor shown: with more than 0, compact the session."""


class Compacted(Window):
    compacted: bool
    """Whether a summary covers more than before."""


class Swept(Answer):
    """POST /sessions/sweep: what was done, by what it is."""

    status: str = "swept"
    counts: dict[str, int]
