"""The search index, kept in step with what is committed. Asks no store and decides nothing about who may see what."""

from collections.abc import Callable, Iterable

from bureau_contracts.registry import AgentRecord, Candidate, Kind, SearchAnswer
from services.registry.document import Document
from services.registry.meaning import Meaning, Meanings
from services.registry.search import AgentIndex, Card


class Shortlist:
    """Candidates for an utterance, among the agents of the document that it was last told to follow."""

    def __init__(self, threshold: float, meanings: Meanings | None = None) -> None:
        """Under `threshold`, a probability, a caller should ask rather than guess. Without `meanings` words decide."""
        self._index, self._threshold, self._meanings = AgentIndex(), threshold, meanings
        self._seen = Document()

    def follow(self, document: Document) -> None:
        """Indexes what changed since the last document, and nothing else. Free when nothing did."""
        if document is self._seen:
            return
        before, after = self._seen.agents, document.agents
        for name in self._changed_in(document):
            agent = after.get(name)
            if agent is None:
                if name in before:
                    self._index.remove(name)
                    if self._meanings:
                        self._meanings.remove(name)
            elif before.get(name) is not agent:
                card = _card(agent)
                self._index.put(card)
                if self._meanings:
                    self._meanings.put(card)
        self._seen = document

    def _changed_in(self, document: Document) -> Iterable[str]:
        """Names of agents, at least those that changed; not by looking at all of them, but for the first time."""
        seen = self._seen
        if not seen.seq or document.seq <= seen.seq:
            return sorted(seen.agents.keys() | document.agents.keys())
        return document.changed_since(seen, Kind.AGENT)

    async def meaning(self, query: str) -> Meaning | None:
        """For a search right after it: what agents that come in between have to say is not in it."""
        return await self._meanings.meaning(query) if self._meanings else None

    def search(
        self, query: str, k: int, wanted: Callable[[AgentRecord], bool], meaning: Meaning | None = None
    ) -> SearchAnswer:
        """The likeliest k of the agents that are wanted, best first."""
        agents = self._seen.agents
        hits = self._index.search(query, k, allowed=lambda name: wanted(agents[name]), meaning=meaning)
        candidates = [
            Candidate(
                name=hit.name,
                score=round(hit.score, 6),
                lexical=round(hit.lexical, 6),
                semantic=None if hit.semantic is None else round(hit.semantic, 6),
                matched=list(hit.matched),
            )
            for hit in hits
        ]
        return SearchAnswer(query=query, candidates=candidates, threshold=self._threshold)


def _card(agent: AgentRecord) -> Card:
    capabilities = agent.capabilities
    return Card(
        name=agent.name,
        description=agent.description,
        skills=tuple(capabilities.skills),
        tags=tuple(agent.tags),
        domains=tuple(capabilities.domains),
        examples=tuple(capabilities.example_queries),
    )
