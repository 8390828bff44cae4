"""The registry's client: which agents, tools and prompts exist."""

from collections.abc import AsyncIterator, Mapping, Sequence

from pydantic import RootModel

from bureau.changes import Reset, follow
from bureau.http import Caller, segment
from bureau_contracts.prompts import (
    NewPromptVersion,
    PromptPage,
    PromptRecord,
    RenderedPrompt,
    RenderPrompt,
    SetLabel,
    VersionAdded,
)
from bureau_contracts.registry import (
    AgentHealth,
    AgentPage,
    AgentPatch,
    AgentRecord,
    AgentRegistered,
    AgentStatus,
    Capabilities,
    Change,
    Changed,
    ChangePage,
    ImportMode,
    ImportReport,
    RegisterAgent,
    RegistryDocument,
    ReportHealth,
    Restored,
    RevisionDiff,
    RevisionPage,
    SearchAnswer,
)
from bureau_contracts.risk import Risk
from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import (
    RegisterTool,
    TenantRisks,
    ToolPage,
    ToolPatch,
    ToolRecord,
    ToolRegistered,
)

WAIT_SECONDS = 25.0
"""Of one question to the change feed: the registry answers earlier when something changes."""
PATIENCE_SECONDS = 10.0
"""Beyond the waiting time, before an answer counts as lost."""


class RegistryClient:
    """Agents; `tools` and `prompts` are the registry's other two kinds."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call
        self.tools = ToolsClient(caller)
        self.prompts = PromptsClient(caller)

    async def register(self, agent: RegisterAgent) -> AgentRegistered:
        """Conflict when the name is taken."""
        return await self._call(AgentRegistered, "POST", "/registry/agents", body=agent)

    async def get(self, name: str) -> AgentRecord:
        return await self._call(AgentRecord, "GET", f"/registry/agents/{segment(name)}")

    async def page(
        self, *, enabled_only: bool | None = None, tags: Sequence[str] = (), q: str | None = None,
        limit: int | None = None, cursor: str | None = None,
    ) -> AgentPage:  # fmt: skip
        params = {
            "enabled_only": enabled_only,
            "tags": ",".join(tags) or None,
            "q": q,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._call(AgentPage, "GET", "/registry/agents", params=params)

    async def all(self, *, enabled_only: bool | None = None) -> AsyncIterator[AgentRecord]:
        """Every agent, page by page."""
        cursor = None
        while True:
            page = await self.page(enabled_only=enabled_only, limit=200, cursor=cursor)
            for agent in page.agents:
                yield agent
            if (cursor := page.next_cursor) is None:
                return

    async def search(self, q: str, *, k: int = 5, enabled_only: bool = True) -> SearchAnswer:
        """Stage one of routing: candidates with calibrated scores, best first."""
        params = {"q": q, "k": k, "enabled_only": enabled_only}
        return await self._call(SearchAnswer, "GET", "/registry/search", params=params)

    async def update(self, name: str, patch: AgentPatch, *, if_revision: int | None = None) -> AgentRecord:
        """Conflict when `if_revision` is given and is not the current one."""
        path = f"/registry/agents/{segment(name)}"
        return await self._call(AgentRecord, "PATCH", path, body=patch, headers=_if_match(if_revision))

    async def set_capabilities(self, name: str, capabilities: Capabilities) -> Changed:
        return await self._call(Changed, "PUT", f"/registry/agents/{segment(name)}/capabilities", body=capabilities)

    async def set_enabled(self, name: str, enabled: bool) -> Changed:
        body = AgentStatus(enabled=enabled)
        return await self._call(
            Changed, "PATCH", f"/registry/agents/{segment(name)}/status", body=body, repeatable=True
        )

    async def delete(self, name: str) -> Changed:
        return await self._call(Changed, "DELETE", f"/registry/agents/{segment(name)}")

    async def report_health(self, name: str, report: ReportHealth) -> AgentHealth:
        """A runtime says whether it could build the agent; needs the scope ``registry:report``."""
        return await self._call(AgentHealth, "PUT", f"/registry/agents/{segment(name)}/health", body=report)

    async def retry(self, name: str) -> AgentHealth:
        """Forgets that the agent was unavailable: it is looked at again."""
        return await self._call(AgentHealth, "POST", f"/registry/agents/{segment(name)}/retry", repeatable=True)

    async def card(self, name: str) -> JsonObject:
        """The agent's A2A card."""
        return (await self._call(_Card, "GET", f"/registry/agents/{segment(name)}/card")).root

    async def revisions(self, name: str) -> RevisionPage:
        """Newest first; of a deleted agent too."""
        return await self._call(RevisionPage, "GET", f"/registry/agents/{segment(name)}/revisions")

    async def diff(self, name: str, revision: int, *, against: int | None = None) -> RevisionDiff:
        """What a revision changed; `against` None means the one before it."""
        path = f"/registry/agents/{segment(name)}/revisions/{revision}/diff"
        return await self._call(RevisionDiff, "GET", path, params={"against": against})

    async def restore(self, name: str, revision: int, *, if_revision: int | None = None) -> Restored:
        """Makes a new revision that says what an old one said; brings a deleted agent back."""
        path = f"/registry/agents/{segment(name)}/revisions/{revision}/restore"
        return await self._call(Restored, "POST", path, headers=_if_match(if_revision))

    async def change_page(self, after: int, *, wait_seconds: float = 0, limit: int | None = None) -> ChangePage:
        """What changed after a position, at most `limit` things; waits up to `wait_seconds` when nothing did."""
        params = {"after": after, "wait_seconds": wait_seconds, "limit": limit}
        seconds = wait_seconds + PATIENCE_SECONDS
        return await self._call(ChangePage, "GET", "/registry/changes", params=params, timeout_seconds=seconds)

    def changes(self, after: int = 0) -> AsyncIterator[Change | Reset]:
        """The change feed, for ever; see `bureau.changes.follow`."""
        return follow(lambda position: self.change_page(position, wait_seconds=WAIT_SECONDS), after)

    async def export(self) -> RegistryDocument:
        """Everything that the caller may see."""
        return await self._call(RegistryDocument, "GET", "/registry/export")

    async def import_(
        self, document: RegistryDocument, *, mode: ImportMode = ImportMode.MERGE, dry_run: bool = False
    ) -> ImportReport:
        """All of it or nothing. The same again changes nothing."""
        params = {"mode": mode.value, "dry_run": dry_run}
        path = "/registry/import"
        return await self._call(ImportReport, "POST", path, body=document, params=params, repeatable=True)

    async def prompt(self, name: str) -> PromptRecord:
        return await self.prompts.get(name)

    async def render_prompt(self, name: str, request: RenderPrompt) -> RenderedPrompt:
        return await self.prompts.render(name, request)


class ToolsClient:
    """Tool sources: MCP servers and HTTP tools."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def register(self, tool: RegisterTool) -> ToolRegistered:
        """Conflict when the name is taken."""
        return await self._call(ToolRegistered, "POST", "/registry/tools", body=tool)

    async def get(self, name: str) -> ToolRecord:
        return await self._call(ToolRecord, "GET", f"/registry/tools/{segment(name)}")

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> ToolPage:
        return await self._call(ToolPage, "GET", "/registry/tools", params={"limit": limit, "cursor": cursor})

    async def update(self, name: str, patch: ToolPatch, *, if_revision: int | None = None) -> ToolRecord:
        """Conflict when `if_revision` is given and is not the current one."""
        path = f"/registry/tools/{segment(name)}"
        return await self._call(ToolRecord, "PATCH", path, body=patch, headers=_if_match(if_revision))

    async def set_risks(self, name: str, risks: Mapping[str, Risk]) -> ToolRecord:
        """Of the caller's own tenant, in place of those that it had set."""
        body = TenantRisks(risks=dict(risks))
        return await self._call(ToolRecord, "PUT", f"/registry/tools/{segment(name)}/risks", body=body)

    async def refresh(self, name: str) -> ToolRecord:
        """Asks the source again what it offers."""
        path = f"/registry/tools/{segment(name)}/refresh"
        return await self._call(ToolRecord, "POST", path, repeatable=True)

    async def delete(self, name: str) -> Changed:
        return await self._call(Changed, "DELETE", f"/registry/tools/{segment(name)}")

    async def revisions(self, name: str) -> RevisionPage:
        return await self._call(RevisionPage, "GET", f"/registry/tools/{segment(name)}/revisions")

    async def diff(self, name: str, revision: int, *, against: int | None = None) -> RevisionDiff:
        path = f"/registry/tools/{segment(name)}/revisions/{revision}/diff"
        return await self._call(RevisionDiff, "GET", path, params={"against": against})

    async def restore(self, name: str, revision: int, *, if_revision: int | None = None) -> Restored:
        path = f"/registry/tools/{segment(name)}/revisions/{revision}/restore"
        return await self._call(Restored, "POST", path, headers=_if_match(if_revision))


class PromptsClient:
    """Instructions in versions that never change, and labels that point at one."""

    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def add(self, name: str, version: NewPromptVersion) -> VersionAdded:
        """The first version makes the prompt. The same text as the newest makes none."""
        path = f"/registry/prompts/{segment(name)}/versions"
        return await self._call(VersionAdded, "POST", path, body=version, repeatable=True)

    async def get(self, name: str) -> PromptRecord:
        return await self._call(PromptRecord, "GET", f"/registry/prompts/{segment(name)}")

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> PromptPage:
        return await self._call(PromptPage, "GET", "/registry/prompts", params={"limit": limit, "cursor": cursor})

    async def set_label(self, name: str, label: str, version: int) -> Changed:
        body = SetLabel(version=version)
        return await self._call(Changed, "PUT", f"/registry/prompts/{segment(name)}/labels/{segment(label)}", body=body)

    async def delete_label(self, name: str, label: str) -> Changed:
        return await self._call(Changed, "DELETE", f"/registry/prompts/{segment(name)}/labels/{segment(label)}")

    async def render(self, name: str, request: RenderPrompt) -> RenderedPrompt:
        """Invalid, naming them, when variables are missing or unknown."""
        path = f"/registry/prompts/{segment(name)}/render"
        return await self._call(RenderedPrompt, "POST", path, body=request, repeatable=True)

    async def delete(self, name: str) -> Changed:
        return await self._call(Changed, "DELETE", f"/registry/prompts/{segment(name)}")


class _Card(RootModel[JsonObject]):
    """A2A's own document, whatever its version."""


def _if_match(revision: int | None) -> dict[str, str]:
    return {"if-match": f'"{revision}"'} if revision is not None else {}
