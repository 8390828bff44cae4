"""Whether agents can be asked: remote ones are looked at in the background, factories are reported by runtimes.

All of it is in memory: after a restart every agent is unknown until somebody has looked again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bureau_contracts.registry import AgentHealth, AgentRecord, Availability, Kind, ReportHealth
from bureau_contracts.shapes import JsonObject
from kit.clock import Clock
from kit.identity import Principal
from kit.logs import get_logger
from services.registry.agent_cards import card_of
from services.registry.document import Document
from services.registry.rounds import Rounds
from services.registry.store import RegistryStore
from services.registry.things import WRITE, require_visible

log = get_logger(__name__)

REPORT = "registry:report"
"""Scope of runtimes: may say whether agents could be built."""

EVERY_SECONDS = 30.0
AT_MOST_SECONDS = 600.0
"""Each failure doubles the pause to the next look, up to this."""
AT_ONCE = 16
PER_SECOND = 20.0
"""With more than EVERY_SECONDS * PER_SECOND remote agents each is looked at less often."""
SPREAD_SECONDS = 1.0
AT_A_TIME = 200
"""Changed agents that are noted before somebody else has a turn."""


@dataclass(frozen=True)
class Card:
    """A remote agent's A2A card, as it was fetched."""

    content: JsonObject
    etag: str
    fetched_at: datetime


@dataclass(frozen=True)
class Looked:
    availability: Availability
    reason: str = ""
    card: Card | None = None


LookAt = Callable[[AgentRecord, Card | None], Awaitable[Looked]]
"""Looks at a remote agent; the card is the one that is known. Bounded in time; raises nothing."""


@dataclass(frozen=True)
class _Seen:
    place: str | None
    """The URL that was looked at; None of a factory."""
    health: AgentHealth
    card: Card | None = None
    failures: int = 0


class Healths:
    def __init__(self, store: RegistryStore, look: LookAt, clock: Clock, seconds: float = EVERY_SECONDS) -> None:
        self._store, self._look, self._clock, self._seconds = store, look, clock, seconds
        self._seen: dict[str, _Seen] = {}
        self.rounds = Rounds("agent_health", self._ask, at_once=AT_ONCE, per_second=PER_SECOND)
        """Somebody has to run them."""

    async def follow(self) -> None:
        """Keeps up with the store, for ever: who is new or changed is looked at soon, who is gone is forgotten."""
        document = self._store.document
        self._spread(document)
        while True:
            newer = await self._store.newer_than(document.seq)
            for number, name in enumerate(newer.changed_since(document, Kind.AGENT), 1):
                self._changed(newer.agents.get(name), name)
                if number % AT_A_TIME == 0:
                    await asyncio.sleep(0)  # after an import there are thousands, and others want their turn
            document = newer

    def on(self, agent: AgentRecord) -> AgentRecord:
        """The record with its health."""
        return agent.model_copy(update={"health": self.of(agent)})

    def of(self, agent: AgentRecord) -> AgentHealth:
        seen = self._seen.get(agent.name)
        if seen is None or not _is_about(seen, agent):
            return AgentHealth()
        return seen.health

    def report(self, principal: Principal, name: str, report: ReportHealth) -> AgentHealth:
        """What a runtime found when it built this revision. Of another revision it says nothing; of a remote agent it
        is a reason to look. The answer is what counts from now on."""
        principal.require(REPORT)
        agent = self._visible(principal, name)
        if _place(agent) is not None:
            if _is_asked(agent) and self.of(agent).availability is not report.availability:
                self.rounds.put(name)
        elif report.revision == agent.revision:
            health = AgentHealth(
                availability=report.availability, reason=report.reason,
                checked_at=self._clock.now(), revision=agent.revision,
            )  # fmt: skip
            self._remember(name, _Seen(None, health))
        return self.of(agent)

    async def retry(self, principal: Principal, name: str) -> AgentHealth:
        """Forgets what is known. A remote agent is looked at before this answers; a factory is built by the runtime at
        its next turn, whatever stands here, so that unknown is the truth about it until then."""
        principal.require(WRITE)
        agent = self._visible(principal, name)
        seen = self._seen.pop(name, None)
        if _place(agent) is not None:
            if seen is not None and seen.card is not None and seen.place == _place(agent):
                self._seen[name] = _Seen(seen.place, AgentHealth(), seen.card)
            await self.rounds.now(name)
        return self.of(self._visible(principal, name))

    def card(self, principal: Principal, name: str) -> tuple[JsonObject, datetime | None]:
        """The agent's A2A card: its own with the time when it was fetched, or one made from the record."""
        agent = self._visible(principal, name)
        seen = self._seen.get(name)
        if agent.a2a is not None and seen is not None and seen.place == agent.a2a and seen.card is not None:
            return seen.card.content, seen.card.fetched_at
        return card_of(agent), None

    def _visible(self, principal: Principal, name: str) -> AgentRecord:
        return require_visible(self._store.document.agents.get(name), principal, Kind.AGENT, name)

    def _spread(self, document: Document) -> None:
        names = [name for name, agent in document.agents.items() if _is_asked(agent)]
        spread = max(SPREAD_SECONDS, len(names) / PER_SECOND)
        for name in names:
            self.rounds.put(name, random.random() * spread)  # noqa: S311 - no secret

    def _changed(self, agent: AgentRecord | None, name: str) -> None:
        seen = self._seen.get(name)
        if seen is not None and (agent is None or not _is_about(seen, agent)):
            del self._seen[name]
        if agent is not None and _is_asked(agent):
            self.rounds.put(name)
        else:
            self.rounds.drop(name)

    async def _ask(self, name: str) -> float | None:
        agent = self._store.document.agents.get(name)
        place = None if agent is None else _place(agent)
        if agent is None or place is None:
            return None
        before = self._seen.get(name)
        known = before if before is not None and before.place == place else None
        looked = await self._look(agent, None if known is None else known.card)
        there = looked.availability is Availability.AVAILABLE
        failures = 0 if there else 1 + (0 if known is None else known.failures)
        current = self._store.document.agents.get(name)
        if current is None or _place(current) != place:
            return 0 if current is not None and _is_asked(current) else None
        health = AgentHealth(
            availability=looked.availability, reason=looked.reason[:2000],
            checked_at=self._clock.now(), revision=agent.revision,
        )  # fmt: skip
        self._remember(name, _Seen(place, health, looked.card, failures))
        if not _is_asked(current):
            return None
        doublings = min(max(failures - 1, 0), 20)
        return min(self._seconds * (1 << doublings), max(AT_MOST_SECONDS, self._seconds))

    def _remember(self, name: str, seen: _Seen) -> None:
        before = self._seen.get(name)
        if before is None or before.health.availability is not seen.health.availability:
            log.info("agent_health_changed", agent=name, availability=seen.health.availability)
        self._seen[name] = seen


def _place(agent: AgentRecord) -> str | None:
    return agent.a2a or agent.http


def _is_asked(agent: AgentRecord) -> bool:
    """Nobody bothers what is switched off."""
    return agent.enabled and _place(agent) is not None


def _is_about(seen: _Seen, agent: AgentRecord) -> bool:
    """A remote agent is where it is, whatever else of its record changes; what a factory builds may be in any field."""
    if seen.place is not None:
        return seen.place == _place(agent)
    return _place(agent) is None and seen.health.revision == agent.revision
