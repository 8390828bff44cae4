"""Contracts of the registry: which agents exist, what they can do, how to make or reach them."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from bureau_contracts.shapes import AgentName, Answer, JsonObject, Label, Request, SubjectId, Timestamp

Dotted = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", max_length=200)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2000)]


class Capabilities(Request):
    """What an agent can do, as routing reads it."""

    domains: list[Label] = Field(default_factory=list, max_length=50)
    skills: list[Label] = Field(default_factory=list, max_length=200)
    example_queries: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(
        default_factory=list, max_length=500
    )
    input_modes: list[Label] = Field(default_factory=lambda: ["text"], max_length=20)
    output_modes: list[Label] = Field(default_factory=lambda: ["text"], max_length=20)


class AutonomyLevel(StrEnum):
    """How much an agent may do by itself; enforced by the server."""

    L0 = "L0"
    """Nothing without approval."""
    L1 = "L1"
    """Read-only calls."""
    L2 = "L2"
    """All but critical calls."""
    L3 = "L3"
    """Everything."""


class AgentFields(Request):
    """What a caller says of an agent: everything in a record but what the registry adds."""

    description: Annotated[str, StringConstraints(max_length=4000)] = ""
    agent_type: Label = "llm"
    factory_module: Dotted | None = None
    factory_function: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$", max_length=100)] | None = None
    factory_params: JsonObject = Field(default_factory=dict)
    a2a: Url | None = None
    """URL of a remote agent's A2A endpoint."""
    http: Url | None = None
    """URL that answers one turn (see `HttpTurn` in the runtime's contracts)."""
    capabilities: Capabilities = Field(default_factory=Capabilities)
    tags: list[Label] = Field(default_factory=list, max_length=50)
    enabled: bool = True
    model: Label | None = None
    """Which model answers; None means the runtime's default."""
    prompt: Label | None = None
    """Reference to a versioned prompt, ``name@label``."""
    tools: list[Label] | None = Field(default=None, max_length=500)
    """Allow-list of tools; None means every tool that the agent brings."""
    autonomy_ceiling: AutonomyLevel = AutonomyLevel.L3
    owner: SubjectId | None = None
    """The tenant that the agent belongs to; None means shared by all tenants."""

    @model_validator(mode="after")
    def _made_or_reached_in_exactly_one_way(self) -> Self:
        factory = self.factory_module is not None or self.factory_function is not None
        if factory + (self.a2a is not None) + (self.http is not None) != 1:
            raise ValueError(
                "exactly one of factory_module + factory_function, a2a, http says how to make or reach the agent"
            )
        if factory and (self.factory_module is None or self.factory_function is None):
            raise ValueError("factory_module and factory_function go together")
        if self.factory_params and not factory:
            raise ValueError("factory_params need a factory")
        return self


class RegisterAgent(AgentFields):
    """POST /registry/agents."""

    name: AgentName


class AgentRecord(Answer, AgentFields):
    """An agent as the registry knows it."""

    model_config = ConfigDict(extra="ignore")

    name: AgentName
    revision: int
    """Counts this agent's changes from 1; also its ETag."""
    registered_at: Timestamp
    updated_at: Timestamp
    updated_by: str = ""
    health: "AgentHealth | None" = None
    """Filled in answers, never stored."""


class Availability(StrEnum):
    """Whether an agent can be asked right now, as far as anybody has noticed."""

    UNKNOWN = "unknown"
    """Nobody has built or reached it yet."""
    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class AgentHealth(Answer):
    """Lives in memory only: after a restart it is unknown until somebody looks again."""

    availability: Availability = Availability.UNKNOWN
    reason: str = ""
    checked_at: Timestamp | None = None
    revision: int | None = None
    """The revision that was looked at."""


class ReportHealth(Request):
    """PUT /registry/agents/{name}/health: a runtime says whether the agent could be built."""

    revision: int
    availability: Availability
    reason: Annotated[str, StringConstraints(max_length=2000)] = ""


class AgentPatch(Request):
    """PATCH /registry/agents/{name}: any field but the name; what is not sent stays as it is."""

    description: Annotated[str, StringConstraints(max_length=4000)] | None = None
    agent_type: Label | None = None
    factory_module: Dotted | None = None
    factory_function: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$", max_length=100)] | None = None
    factory_params: JsonObject | None = None
    a2a: Url | None = None
    http: Url | None = None
    capabilities: Capabilities | None = None
    tags: list[Label] | None = Field(default=None, max_length=50)
    enabled: bool | None = None
    model: Label | None = None
    prompt: Label | None = None
    tools: list[Label] | None = Field(default=None, max_length=500)
    autonomy_ceiling: AutonomyLevel | None = None


class AgentStatus(Request):
    enabled: bool


class AgentRegistered(Answer):
    status: str = "registered"
    agent_name: str
    revision: int = 1


class Changed(Answer):
    """``updated``, ``enabled``, ``disabled`` or ``deleted``."""

    status: str
    revision: int | None = None


class AgentPage(Answer):
    agents: list[AgentRecord]
    total: int
    """How many match the filter, over all pages."""
    next_cursor: str | None = None


class Candidate(Answer):
    """One agent that routing may choose."""

    name: str
    score: float
    """0 … 1, calibrated: an estimate of how likely this agent is the right one."""
    lexical: float
    semantic: float | None = None
    matched: list[str] = []
    """Words that matched, best first."""


class SearchAnswer(Answer):
    query: str
    candidates: list[Candidate]
    threshold: float
    """Below it a caller should ask rather than guess."""


class Factory(Answer):
    """A function that makes an agent, found by reading sources: nothing was imported."""

    factory_module: str
    factory_function: str
    parameters: list[str] = []
    """Names of what may stand in `factory_params`."""
    description: str = ""


class FactoryList(Answer):
    """GET /registry/factories."""

    prefixes: list[str]
    """Under which modules was looked."""
    factories: list[Factory]


class Kind(StrEnum):
    """What the registry keeps."""

    AGENT = "agent"
    TOOL = "tool"
    PROMPT = "prompt"


class ChangeType(StrEnum):
    REGISTERED = "registered"
    UPDATED = "updated"
    RESTORED = "restored"
    IMPORTED = "imported"
    DELETED = "deleted"


class Revision(Answer):
    """One change of an agent or a tool, with what it was from then on. A setting says how many are kept."""

    revision: int
    seq: int
    """Counts all changes of the whole registry from 1: the position in the change feed."""
    change: ChangeType
    at: Timestamp
    by: str
    record: JsonObject | None
    """The whole record; None when it was deleted."""


class RevisionPage(Answer):
    """Newest first."""

    revisions: list[Revision]


class Restored(Answer):
    """POST …/revisions/{n}/restore."""

    status: str = "restored"
    name: str
    revision: int
    """The one that the thing has now."""
    restored_from: int


class FieldChange(Answer):
    before: Any = None
    after: Any = None


class RevisionDiff(Answer):
    """What differs between two revisions, by field; only fields that a caller may set."""

    from_revision: int
    to_revision: int
    fields: dict[str, FieldChange]


class Change(Answer):
    """One entry of the change feed: the newest change of one thing. Older ones of the same thing are left out."""

    seq: int
    kind: Kind
    name: str
    change: ChangeType
    revision: int
    enabled: bool | None = None
    """Of agents and tools, as it is now; None when deleted and for prompts."""
    at: Timestamp


class ChangePage(Answer):
    """GET /registry/changes, long-polled: returns at once when there is something after `after`, else waits."""

    changes: list[Change]
    seq: int
    """Ask for what comes after this next."""
    reset: bool = False
    """True: the registry does not know what the caller knows (it went back to an older file). Forget everything, go on
    from `seq`, and only then read everything anew."""


class ImportMode(StrEnum):
    MERGE = "merge"
    """Adds and changes what the document names; leaves everything else."""
    REPLACE = "replace"
    """Afterwards there is what the document names, and nothing else that the caller may change."""


class RegistryDocument(Answer):
    """GET /registry/export and the body of POST /registry/import: everything the caller may see, loss-free."""

    model_config = ConfigDict(extra="forbid")
    version: str
    exported_at: Timestamp | None = None
    agents: dict[AgentName, JsonObject] = {}
    """Records by name, without what the registry adds itself."""
    tools: dict[str, JsonObject] = {}
    prompts: dict[str, JsonObject] = {}


class ImportChange(Answer):
    kind: Kind
    name: str
    change: ChangeType
    fields: list[str] = []
    """Of an update: which fields differ."""


class ImportReport(Answer):
    """What an import did, or with `dry_run` would do. The same import again changes nothing."""

    status: str
    """``imported``, or ``dry_run``."""
    changes: list[ImportChange]
    unchanged: int
