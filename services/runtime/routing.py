"""Which agent answers a message, and why, in words. Chooses among what the registry finds; runs nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bureau.errors import NotFound
from bureau_contracts.registry import AgentRecord, Candidate, SearchAnswer
from bureau_contracts.runtime import RouteAnswer, RouteReason
from bureau_contracts.sessions import Context
from services.runtime.errors import AgentDisabled, AgentNotFound
from services.runtime.follow_ups import FollowUp, read_follow_up
from services.runtime.ports import Catalogue

CLEARLY_BETTER = 0.25
"""By how much another agent must be likelier than the one that answered before to take a follow-up from it."""
STILL_FITS = 0.5
"""Share of the threshold that is enough for the best agent when it also answered before."""
QUERY_CHARS = 1000
"""Of a message that the registry reads: a longer one says nothing new about who should answer."""
NAMED_CANDIDATES = 3
"""How many agents a question back to the user names."""
FRESH_SECONDS = 0.5
"""A record that was read longer ago is read again before its agent runs: a disable holds within a second."""


@dataclass(frozen=True)
class Found:
    """What the registry said about a message: the agent that was asked for, or candidates."""

    requested: AgentRecord | None = None
    read_at: float = 0.0
    search: SearchAnswer | None = None


@dataclass(frozen=True)
class Route:
    answer: RouteAnswer
    record: AgentRecord | None
    """Who answers; None when that is unclear."""
    read_at: float = 0.0
    """When the record was read, on the router's clock."""


class Router:
    """Two steps, so that the first can run while the session is read: `find` asks the registry, `choose` decides."""

    def __init__(self, catalogue: Catalogue, now: Callable[[], float] = time.monotonic) -> None:
        self._catalogue, self._now = catalogue, now

    async def find(self, message: str, requested: str | None, k: int = 5) -> Found:
        """Raises AgentNotFound or AgentDisabled when the requested agent cannot answer."""
        if requested is None:
            return Found(search=await self._catalogue.search(message[:QUERY_CHARS], k=k, enabled_only=True))
        read_at = self._now()
        record = await self._record(requested)
        if record is None:
            raise AgentNotFound(f"there is no agent {requested!r}")
        if not record.enabled:
            raise AgentDisabled(f"agent {requested!r} is switched off")
        return Found(requested=record, read_at=read_at)

    async def choose(self, found: Found, message: str, context: Context | None) -> Route:
        if found.requested is not None:
            name = found.requested.name
            answer = RouteAnswer(
                chosen=[name], reason=RouteReason.REQUESTED, explanation=f"The caller asked for {name}.",
                candidates=[], threshold=0,
            )  # fmt: skip
            return Route(answer, found.requested, found.read_at)
        assert found.search is not None
        before = await self._before(found.search, message, context)
        answer = decide(message, found.search, before)
        if not answer.chosen:
            return Route(answer, None)
        read_at = self._now()
        return Route(answer, await self._still_enabled(answer.chosen[0]), read_at)

    async def at_start(self, route: Route) -> AgentRecord | None:
        """The record with which the turn starts now. Raises AgentDisabled when its agent was switched off meanwhile."""
        if route.record is None or self._now() - route.read_at < FRESH_SECONDS:
            return route.record
        return await self._still_enabled(route.record.name)

    async def _still_enabled(self, name: str) -> AgentRecord:
        record = await self._record(name)
        if record is None or not record.enabled:
            # Switched off or deleted since it was found: whoever asks again finds another.
            raise AgentDisabled(f"agent {name!r} was switched off just now", retry_after=1)
        return record

    async def _before(self, search: SearchAnswer, message: str, context: Context | None) -> str | None:
        """The agent that answered last, when it may still be chosen and that matters."""
        name = context.last_agent_called if context else None
        if name is None or any(each.name == name for each in search.candidates):
            return name  # candidates are enabled
        if read_follow_up(message) is None:
            return None
        record = await self._record(name)
        return name if record is not None and record.enabled else None

    async def _record(self, name: str) -> AgentRecord | None:
        try:
            return await self._catalogue.get(name)
        except NotFound:
            return None


def decide(message: str, search: SearchAnswer, before: str | None) -> RouteAnswer:
    """The choice among candidates. `before` is the agent that answered last and may still be chosen."""
    follow_up = read_follow_up(message)
    best = search.candidates[0] if search.candidates else None
    own = next((each.score for each in search.candidates if each.name == before), 0.0)
    rival = best if best is not None and best.name != before else None
    if before and follow_up and not _takes_over(rival, own, follow_up, search.threshold):
        explanation = f"{before} answered before, and the message {follow_up.sign}."
        return _answer(search, [before], RouteReason.CONTINUITY, explanation)
    if best is not None and best.score >= search.threshold:
        return _answer(search, [best.name], RouteReason.MATCH, _why_it_fits(best))
    if best is not None and best.name == before and best.score >= search.threshold * STILL_FITS:
        explanation = f"{before} answered before and still fits best (score {best.score:.2f})."
        return _answer(search, [before], RouteReason.CONTINUITY, explanation)
    if best is None:
        explanation = "No enabled agent's card shares a word with the message."
    else:
        explanation = f"The likeliest agent, {best.name}, scores {best.score:.2f}; {search.threshold:.2f} is needed."
    return _answer(search, [], RouteReason.UNCLEAR, explanation)


def clarification(route: RouteAnswer) -> str:
    """What the user is asked when nobody fits well enough."""
    names = [each.name for each in route.candidates[:NAMED_CANDIDATES]]
    if not names:
        return "I do not know who could answer this. Could you say it in other words?"
    if len(names) == 1:
        return f"I am not sure who should answer this. Is it something for {names[0]}? Please say a little more."
    return (
        f"I am not sure who should answer this. Is it something for {', '.join(names[:-1])} or {names[-1]}? "
        "Please say a little more, or name the agent."
    )


def _takes_over(rival: Candidate | None, own: float, follow_up: FollowUp, threshold: float) -> bool:
    if rival is None or follow_up.bare:
        return False
    return rival.score >= threshold and rival.score - own >= CLEARLY_BETTER


def _why_it_fits(best: Candidate) -> str:
    words = f" by {', '.join(f'“{word}”' for word in best.matched[:5])}" if best.matched else ""
    return f"{best.name} fits best{words} (score {best.score:.2f})."


def _answer(search: SearchAnswer, chosen: list[str], reason: RouteReason, explanation: str) -> RouteAnswer:
    return RouteAnswer(
        chosen=chosen, reason=reason, explanation=explanation,
        candidates=search.candidates, threshold=search.threshold,
    )  # fmt: skip
