"""Contracts of the runtime: one turn in, one answer out."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from bureau_contracts.registry import AutonomyLevel, Candidate
from bureau_contracts.risk import Risk as Risk  # also known from here
from bureau_contracts.sessions import Message, Session, SessionId
from bureau_contracts.shapes import AgentName, Answer, JsonObject, Label, Request, SubjectId, Text
from bureau_contracts.tools import ToolSource

CallKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")]
TurnId = Annotated[str, StringConstraints(pattern=r"^turn-[0-9a-z-]{1,64}$")]


class ChatRequest(Request):
    """POST /agent/chat."""

    message: Annotated[Text, StringConstraints(min_length=1)]
    session_id: SessionId | None = None
    """None opens a new session."""
    user_id: SubjectId | None = None
    """Who is speaking; None means the caller. Another needs a tenant-wide scope."""
    autonomy_level: AutonomyLevel | None = None
    agent: AgentName | None = None
    """None lets the runtime choose."""
    turn_id: TurnId | None = None
    """The same turn sent again answers what was recorded the first time."""


class Usage(Answer):
    input_tokens: int = 0
    output_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    estimated: bool = False
    """True when the model's provider gave no token counts."""


class TurnStatus(StrEnum):
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """Answered, though a tool or one of several agents failed."""
    NEEDS_CLARIFICATION = "needs_clarification"
    """No agent fits well enough: the reply asks instead of guessing."""
    ERROR = "error"


class ToolTrace(Answer):
    """One tool call of a turn, as its caller may see it."""

    name: str
    arguments: JsonObject
    risk: Risk
    status: str
    """``completed``, ``failed`` or ``refused`` (not allowed at this autonomy level)."""
    result: Any = None
    error: str | None = None
    duration_ms: float = 0


class ChatAnswer(Answer):
    session_id: str
    turn_id: str
    status: TurnStatus
    reply: str
    agents: list[str]
    routing: "RouteAnswer | None" = None
    """Why this agent."""
    tools: list[ToolTrace] = []
    memories: list[str] = []
    """Ids of the memories that were in the context."""
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None
    """US dollars; None when the model's price is not known."""
    trace_id: str = ""


class RouteRequest(Request):
    """POST /agent/route: which agents would be chosen, and why. Nothing runs."""

    query: Annotated[Text, StringConstraints(min_length=1)]
    session_id: SessionId | None = None
    limit: Annotated[int, Field(ge=1, le=20)] = 5


class RouteReason(StrEnum):
    REQUESTED = "requested"
    """The caller named the agent."""
    MATCH = "match"
    """Its card fits the message best."""
    CONTINUITY = "continuity"
    """It answered before and the message reads as a follow-up."""
    UNCLEAR = "unclear"
    """Nothing fits well enough."""


class RouteAnswer(Answer):
    chosen: list[str]
    """Empty when unclear."""
    reason: RouteReason
    explanation: str
    candidates: list[Candidate]
    threshold: float


class AgentSessionView(Answer):
    """GET /agent/session/{id}."""

    session: Session
    messages: list[Message]


class ToolInfo(Answer):
    name: str
    description: str
    risk: Risk
    parameters: JsonObject
    """JSON schema of its arguments."""
    agent: str = ""
    """Who brings it; empty for a tool of the registry."""
    source: ToolSource | None = None
    """What the registry knows it as; None for a tool that an agent brings."""
    address: str = ""
    """What it is called by without naming an agent: ``parcels/list_parcels``, ``files.read``, ``weather``."""
    repeatable: bool = False
    """Whether the same call may be made twice."""


class ToolList(Answer):
    tools: list[ToolInfo]


class CallTool(Request):
    """POST /agent/tools/{name}/call: one call, under the same policy as a call in a turn."""

    arguments: JsonObject = Field(default_factory=dict)
    autonomy_level: AutonomyLevel = AutonomyLevel.L2
    agent: AgentName | None = None
    """On whose behalf: its allow-list and its ceiling hold, and a plain name is first one of the tools it brings."""
    idempotency_key: CallKey | None = None
    """Passed to the target, the same for every attempt at one effect; None: a new one."""


class CallStatus(StrEnum):
    """What is known of a call. A refusal before it (a problem document) means that nothing was sent."""

    COMPLETED = "completed"
    TRY_LATER = "try_later"
    """It did nothing, or may be repeated: try again, not before `retry_after`."""
    FAILED = "failed"
    """Trying again would not help."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """Nobody answered, and it may not be repeated: it may have taken effect."""


class ToolCalled(Answer):
    """What came of one call."""

    name: str
    agent: str = ""
    """Whose tool it is, or on whose behalf it was called; empty for nobody's."""
    status: CallStatus
    result: Any = None
    cut: bool = False
    """The result was too long: it is a part, or a text that was cut."""
    error: str | None = None
    retry_after: float | None = None
    """Seconds, where the target said so."""
    risk: Risk
    repeatable: bool
    """Whether the same call may be made twice: it only reads, or is said to be idempotent."""
    idempotency_key: str
    duration_ms: float = 0
    trace_id: str = ""


class HttpTurn(Request):
    """What the runtime POSTs to an agent that is reached by an `http` endpoint."""

    message: Text
    session_id: str
    history: list[Message] = Field(default_factory=list)
    memories: list[Text] = Field(default_factory=list)


class HttpReply(Answer):
    """What such an agent answers."""

    reply: Text
    usage: Usage = Usage()
    model: Label = "http"


ChatAnswer.model_rebuild()
