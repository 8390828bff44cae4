"""The search index, kept in step with what is committed. Asks no store and decides nothing about who may see what."""

from collections.abc import Callable

from bureau_contracts.registry import AgentRecord, Candidate, SearchAnswer
from services.registry.document import Document
from services.registry.search import AgentIndex, Card


class Shortlist:
    """Candidates for an utterance, among the agents of the document that it was last told to follow."""

    def __init__(self, threshold: float) -> None:
        """Under `threshold`, a probability, a caller should ask rather than guess."""
        self._index, self._threshold = AgentIndex(), threshold
        self._seen = Document()

    def follow(self, document: Document) -> None:
        """Indexes what changed since the last document, and nothing else. Free when nothing did."""
        if document is self._seen:
            return
        before, after = self._seen.agents, document.agents
        for name in before.keys() - after.keys():
            self._index.remove(name)
        for name, agent in after.items():
            if before.get(name) is not agent:
                self._index.put(_card(agent))
        self._seen = document

    def search(self, query: str, k: int, wanted: Callable[[AgentRecord], bool]) -> SearchAnswer:
        """The likeliest k of the agents that are wanted, best first."""
        agents = self._seen.agents
        hits = self._index.search(query, k, allowed=lambda name: wanted(agents[name]))
        candidates = [
            Candidate(
                name=hit.name,
                score=round(hit.score, 6),
                lexical=round(hit.lexical, 6),
                semantic=hit.semantic,
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
