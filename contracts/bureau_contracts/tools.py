"""Contracts of the registry's tools: MCP servers and HTTP tools, with a risk for everything that they offer."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from bureau_contracts.registry import Url
from bureau_contracts.risk import Risk
from bureau_contracts.shapes import Answer, JsonObject, Label, Request, SubjectId, Timestamp

ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]

SecretReference = Annotated[str, StringConstraints(pattern=r"^(env:[A-Z][A-Z0-9_]*|file:/[^\x00]+)$", max_length=1000)]
"""Where a secret is found, ``env:NAME`` or ``file:/PATH``; never the secret itself."""


class ToolSource(StrEnum):
    MCP_HTTP = "mcp_http"
    """An MCP server over streamable HTTP."""
    MCP_STDIO = "mcp_stdio"
    """An MCP server that is started as a command; only commands on the registry's allow-list."""
    HTTP = "http"
    """One HTTP call with a JSON schema."""


class ToolFields(Request):
    """What a caller says of a tool source."""

    source: ToolSource
    description: Annotated[str, StringConstraints(max_length=4000)] = ""
    url: Url | None = None
    """`mcp_http` and `http`: where."""
    command: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] | None = Field(
        default=None, min_length=1, max_length=50
    )
    """`mcp_stdio`: the program and its arguments."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    """`http`: arguments go into the query for GET and DELETE, into a JSON body otherwise."""
    parameters: JsonObject | None = None
    """`http`: JSON schema of the arguments, an object."""
    headers: dict[Label, SecretReference] = Field(default_factory=dict, max_length=20)
    """`mcp_http` and `http`: headers whose values are secrets, by reference."""
    environment: dict[Label, SecretReference] = Field(default_factory=dict, max_length=50)
    """`mcp_stdio`: variables whose values are secrets, by reference. Nothing else of our environment is passed on."""
    risk: Risk | None = None
    """Of every tool of this source that no override names; None: what the server annotates, else `write`."""
    risks: dict[Label, Risk] = Field(default_factory=dict, max_length=500)
    """Overrides by tool name."""
    idempotent: bool | None = None
    """Whether a call may be repeated: the target honours the idempotency key, or doing it twice is as once. None: what
    the server annotates; for `http` what the method means (GET, PUT and DELETE may)."""
    enabled: bool = True
    owner: SubjectId | None = None
    """The tenant it belongs to; None means shared by all."""


class TenantRisks(Request):
    """PUT /registry/tools/{name}/risks: overrides of the caller's own tenant; they win over the record's."""

    risks: dict[Label, Risk] = Field(max_length=500)


class RegisterTool(ToolFields):
    """POST /registry/tools."""

    name: ToolName

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        wanted = {ToolSource.MCP_HTTP: "url", ToolSource.MCP_STDIO: "command", ToolSource.HTTP: "url"}[self.source]
        other = "command" if wanted == "url" else "url"
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.source} needs {wanted}, and no {other}")
        if (self.source is ToolSource.HTTP) != (self.parameters is not None):
            raise ValueError("parameters: an http tool has them, an MCP server tells its own")
        return self


class OfferedTool(Answer):
    """One tool that a source offers."""

    name: str
    """As agents name it: ``<source>.<tool>`` for MCP servers, the source's own name for an http tool."""
    description: str = ""
    parameters: JsonObject = {}
    risk: Risk
    """For the caller's tenant: its override, the record's, the source's risk, the server's annotation, or `write`."""
    risk_from: str
    """Which of these: ``tenant``, ``override``, ``source``, ``annotation`` or ``default``."""
    idempotent: bool = False
    """Whether a call that writes may be repeated, as the record or its source says."""


class ToolListing(Answer):
    """What a source offered when it was asked last."""

    tools: list[OfferedTool] = []
    listed_at: Timestamp | None = None
    error: str = ""
    """Why it could not be asked; `tools` are then those of the last time."""


class ToolRecord(Answer, ToolFields):
    """A tool source as the registry knows it. Holds references to secrets, never secrets."""

    model_config = ConfigDict(extra="ignore")
    name: ToolName
    tenant_risks: dict[str, dict[str, Risk]] = {}
    """By tenant; an answer shows the caller's own only."""
    revision: int
    registered_at: Timestamp
    updated_at: Timestamp
    updated_by: str = ""
    listing: ToolListing | None = None
    """Filled in answers, never stored."""


class ToolPatch(Request):
    """PATCH /registry/tools/{name}: any field but name and source; what is not sent stays."""

    description: Annotated[str, StringConstraints(max_length=4000)] | None = None
    url: Url | None = None
    command: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = None
    parameters: JsonObject | None = None
    headers: dict[Label, SecretReference] | None = None
    environment: dict[Label, SecretReference] | None = None
    risk: Risk | None = None
    risks: dict[Label, Risk] | None = None
    idempotent: bool | None = None
    enabled: bool | None = None


class ToolRegistered(Answer):
    status: str = "registered"
    tool_name: str
    revision: int = 1


class ToolPage(Answer):
    tools: list[ToolRecord]
    total: int
    next_cursor: str | None = None
