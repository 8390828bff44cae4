"""The registry's rules: who sees which agent, who may change it, and what a change is. No HTTP, no file."""

from bisect import bisect_right
from collections.abc import Container
from dataclasses import dataclass

from pydantic import ValidationError

from bureau_contracts.problems import InvalidField
from bureau_contracts.registry import AgentPage, AgentPatch, AgentRecord, RegisterAgent, SearchAnswer
from kit.clock import Clock
from kit.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from kit.identity import Principal
from kit.logs import get_logger
from kit.paging import decode_cursor, encode_cursor
from services.registry.document import Change, Document
from services.registry.shortlist import Shortlist
from services.registry.store import RegistryStore

log = get_logger(__name__)

WRITE = "registry:write"
"""Scope: may register, change and delete agents: its own tenant's and the shared ones."""


class AgentNotFound(NotFound):
    code = "agent_not_found"


class AgentExists(Conflict):
    code = "agent_exists"


class RevisionChanged(PreconditionFailed):
    code = "revision_changed"


@dataclass(frozen=True)
class AgentFilter:
    enabled_only: bool = False
    tags: frozenset[str] = frozenset()
    """All of them."""
    q: str = ""
    """Part of the name, the description or a tag, whatever the case."""

    def matches(self, agent: AgentRecord) -> bool:
        if (self.enabled_only and not agent.enabled) or not self.tags.issubset(agent.tags):
            return False
        q = self.q.casefold()
        return not q or any(q in text.casefold() for text in (agent.name, agent.description, *agent.tags))


class Registry:
    """Agents as a principal sees them: those of its tenant and the shared ones. Any other does not exist for it.

    `expected` are the revisions that a caller has in mind (If-Match); None means whichever is there.
    """

    def __init__(self, store: RegistryStore, shortlist: Shortlist, clock: Clock) -> None:
        self._store, self._shortlist, self._clock = store, shortlist, clock
        shortlist.follow(store.document)

    def get(self, principal: Principal, name: str) -> AgentRecord:
        return _shown(_visible(self._store.document, principal, name), principal)

    def page(self, principal: Principal, wanted: AgentFilter, limit: int, cursor: str | None) -> AgentPage:
        after = str(decode_cursor(cursor, str)[0]) if cursor else ""
        agents = self._store.document.agents.values()
        matching = [agent for agent in agents if _may_see(principal, agent) and wanted.matches(agent)]
        start = bisect_right(matching, after, key=lambda agent: agent.name)
        page = matching[start : start + limit]
        return AgentPage(
            agents=[_shown(agent, principal) for agent in page],
            total=len(matching),
            next_cursor=encode_cursor(page[-1].name) if start + limit < len(matching) else None,
        )

    def search(self, principal: Principal, query: str, k: int, wanted: AgentFilter) -> SearchAnswer:
        """Stage one of routing: candidates with calibrated scores, best first."""
        self._shortlist.follow(self._store.document)
        return self._shortlist.search(query, k, lambda agent: _may_see(principal, agent) and wanted.matches(agent))

    async def register(self, principal: Principal, new: RegisterAgent) -> AgentRecord:
        """Names are unique over all tenants, since a name is what a plan, a bill and a log call an agent by."""
        principal.require(WRITE)
        if new.owner not in (None, principal.tenant):
            raise Forbidden("owner: an agent belongs to your own tenant or to nobody", code="other_tenant")

        def change(document: Document) -> Document:
            if new.name in document.agents:
                raise AgentExists(f"the name {new.name!r} is taken")
            now = self._clock.now()
            return document.with_agent(
                AgentRecord(**dict(new), revision=1, registered_at=now, updated_at=now, updated_by=_who(principal))
            )

        agent = (await self._commit(change)).agents[new.name]
        log.info("agent_registered", agent=agent.name)
        return agent

    async def update(
        self, principal: Principal, name: str, patch: AgentPatch, expected: Container[int] | None = None
    ) -> AgentRecord:
        """A patch that changes nothing makes no revision."""
        principal.require(WRITE)
        before = 0

        def change(document: Document) -> Document:
            nonlocal before
            agent = _expected(_visible(document, principal, name), expected)
            before = agent.revision
            fields = {**dict(agent), **patch.model_dump(exclude_unset=True)}
            if _record(fields) == agent:
                return document
            fields |= {"revision": agent.revision + 1, "updated_at": self._clock.now(), "updated_by": _who(principal)}
            return document.with_agent(_record(fields))

        agent = (await self._commit(change)).agents[name]
        if agent.revision != before:
            log.info("agent_updated", agent=name, revision=agent.revision, fields=sorted(patch.model_fields_set))
        return _shown(agent, principal)

    async def delete(self, principal: Principal, name: str, expected: Container[int] | None = None) -> None:
        principal.require(WRITE)

        def change(document: Document) -> Document:
            _expected(_visible(document, principal, name), expected)
            return document.without_agent(name)

        await self._commit(change)
        log.info("agent_deleted", agent=name)

    async def _commit(self, change: Change) -> Document:
        changed = await self._store.commit(change)
        # Here rather than at the next search, so that a search does not pay for a thousand changes.
        self._shortlist.follow(self._store.document)
        return changed


def _may_see(principal: Principal, agent: AgentRecord) -> bool:
    return agent.owner is None or agent.owner == principal.tenant


def _visible(document: Document, principal: Principal, name: str) -> AgentRecord:
    agent = document.agents.get(name)
    if agent is None or not _may_see(principal, agent):
        raise AgentNotFound(f"there is no agent {name!r}")
    return agent


def _expected(agent: AgentRecord, revisions: Container[int] | None) -> AgentRecord:
    if revisions is not None and agent.revision not in revisions:
        raise RevisionChanged(f"the agent has revision {agent.revision} now: read it again before you change it")
    return agent


def _who(principal: Principal) -> str:
    return f"{principal.tenant}/{principal.subject}"


def _shown(agent: AgentRecord, principal: Principal) -> AgentRecord:
    """A shared agent does not tell one tenant who works for another."""
    if agent.updated_by.startswith(f"{principal.tenant}/"):
        return agent
    return agent.model_copy(update={"updated_by": ""})


def _record(fields: dict[str, object]) -> AgentRecord:
    try:
        return AgentRecord.model_validate(fields)
    except ValidationError as error:
        wrong = [
            InvalidField(location=".".join(map(str, ("body", *each["loc"]))), message=each["msg"])
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise Invalid("; ".join(f"{each.location}: {each.message}" for each in wrong), errors=wrong) from error
