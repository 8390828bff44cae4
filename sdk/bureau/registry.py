"""The registry's client: which agents exist."""

from collections.abc import AsyncIterator, Sequence

from bureau.http import Caller, segment
from bureau_contracts.registry import (
    AgentPage,
    AgentPatch,
    AgentRecord,
    AgentRegistered,
    AgentStatus,
    Capabilities,
    Changed,
    RegisterAgent,
    SearchAnswer,
)


class RegistryClient:
    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

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
        headers = {"if-match": f'"{if_revision}"'} if if_revision is not None else {}
        return await self._call(AgentRecord, "PATCH", f"/registry/agents/{segment(name)}", body=patch, headers=headers)

    async def set_capabilities(self, name: str, capabilities: Capabilities) -> Changed:
        return await self._call(Changed, "PUT", f"/registry/agents/{segment(name)}/capabilities", body=capabilities)

    async def set_enabled(self, name: str, enabled: bool) -> Changed:
        body = AgentStatus(enabled=enabled)
        return await self._call(
            Changed, "PATCH", f"/registry/agents/{segment(name)}/status", body=body, repeatable=True
        )

    async def delete(self, name: str) -> Changed:
        return await self._call(Changed, "DELETE", f"/registry/agents/{segment(name)}")
