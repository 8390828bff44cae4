"""The registry's rules: who sees which agent, who may change it, and what a change is. No HTTP, no file."""

from bisect import bisect_right
from collections.abc import Container
from dataclasses import dataclass

from pydantic import ValidationError

from bureau_contracts.problems import InvalidField
from bureau_contracts.registry import (
    AgentPage,
    AgentPatch,
    AgentRecord,
    ChangeType,
    Kind,
    RegisterAgent,
    SearchAnswer,
)
from kit.clock import Clock
from kit.errors import Invalid
from kit.identity import Principal
from kit.logs import get_logger
from kit.paging import decode_cursor, encode_cursor
from services.registry.document import REVISIONS, Change, Document, Stamp
from services.registry.prompts import require_prompt
from services.registry.shortlist import Shortlist
from services.registry.store import RegistryStore
from services.registry.things import WRITE, expected, may_see, require_free, require_own, require_visible, shown, who

log = get_logger(__name__)


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

    `revisions` are those that a caller has in mind (If-Match); None means whichever is there.
    """

    def __init__(self, store: RegistryStore, shortlist: Shortlist, clock: Clock, keep: int = REVISIONS) -> None:
        """`keep` revisions of each agent stay readable."""
        self._store, self._shortlist, self._clock, self._keep = store, shortlist, clock, keep
        shortlist.follow(store.document)

    def get(self, principal: Principal, name: str) -> AgentRecord:
        return shown(_visible(self._store.document, principal, name), principal)

    def page(self, principal: Principal, wanted: AgentFilter, limit: int, cursor: str | None) -> AgentPage:
        after = str(decode_cursor(cursor, str)[0]) if cursor else ""
        agents = self._store.document.agents.values()
        matching = [agent for agent in agents if may_see(principal, agent) and wanted.matches(agent)]
        start = bisect_right(matching, after, key=lambda agent: agent.name)
        page = matching[start : start + limit]
        return AgentPage(
            agents=[shown(agent, principal) for agent in page],
            total=len(matching),
            next_cursor=encode_cursor(page[-1].name) if start + limit < len(matching) else None,
        )

    async def search(self, principal: Principal, query: str, k: int, wanted: AgentFilter) -> SearchAnswer:
        """Stage one of routing: candidates with calibrated scores, best first."""
        self._shortlist.follow(self._store.document)
        meaning = await self._shortlist.meaning(query)
        return self._shortlist.search(
            query, k, lambda agent: may_see(principal, agent) and wanted.matches(agent), meaning
        )

    async def register(self, principal: Principal, new: RegisterAgent) -> AgentRecord:
        principal.require(WRITE)
        require_own(principal, new.owner, Kind.AGENT)

        def change(document: Document) -> Document:
            require_free(document, Kind.AGENT, new.name)
            require_prompt(document, principal, new.prompt)
            now = self._clock.now()
            agent = AgentRecord(**dict(new), revision=1, registered_at=now, updated_at=now)
            return document.put(agent, ChangeType.REGISTERED, self._stamp(principal))

        agent = (await self._commit(change)).agents[new.name]
        log.info("agent_registered", agent=agent.name)
        return agent

    async def update(
        self, principal: Principal, name: str, patch: AgentPatch, revisions: Container[int] | None = None
    ) -> AgentRecord:
        """A patch that changes nothing makes no revision."""
        principal.require(WRITE)
        before = 0

        def change(document: Document) -> Document:
            nonlocal before
            agent = expected(_visible(document, principal, name), revisions)
            before = agent.revision
            changed = _record({**dict(agent), **patch.model_dump(exclude_unset=True)})
            if changed == agent:
                return document
            if changed.prompt != agent.prompt:
                require_prompt(document, principal, changed.prompt)
            return document.put(changed, ChangeType.UPDATED, self._stamp(principal))

        agent = (await self._commit(change)).agents[name]
        if agent.revision != before:
            log.info("agent_updated", agent=name, revision=agent.revision, fields=sorted(patch.model_fields_set))
        return shown(agent, principal)

    async def delete(self, principal: Principal, name: str, revisions: Container[int] | None = None) -> None:
        principal.require(WRITE)

        def change(document: Document) -> Document:
            expected(_visible(document, principal, name), revisions)
            return document.drop(Kind.AGENT, name, self._stamp(principal))

        await self._commit(change)
        log.info("agent_deleted", agent=name)

    async def _commit(self, change: Change) -> Document:
        changed = await self._store.commit(change)
        # Here rather than at the next search: embeddings begin now, and a search pays for a few changes at most.
        self._shortlist.follow(self._store.document)
        return changed

    def _stamp(self, principal: Principal) -> Stamp:
        return Stamp(self._clock.now(), who(principal), self._keep)


def _visible(document: Document, principal: Principal, name: str) -> AgentRecord:
    return require_visible(document.agents.get(name), principal, Kind.AGENT, name)


def _record(fields: dict[str, object]) -> AgentRecord:
    try:
        return AgentRecord.model_validate(fields)
    except ValidationError as error:
        wrong = [
            InvalidField(location=".".join(map(str, ("body", *each["loc"]))), message=each["msg"])
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise Invalid("; ".join(f"{each.location}: {each.message}" for each in wrong), errors=wrong) from error
