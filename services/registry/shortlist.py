"""The search index, kept in step with what is committed. Asks no store and decides nothing about who may see what."""

from collections.abc import Callable, Iterable

from bureau_contracts.registry import AgentRecord, Candidate, Kind, SearchAnswer
from services.registry.document import Document
from services.registry.meaning import Meaning, Meanings
from services.registry.search import AgentIndex, Card

UNREAD = 64
"""Agents that may have changed without being indexed, at most: what a search can have to do first. Some ten ms."""


class Shortlist:
    """Candidates for an utterance, among the agents of the document that it was last told to follow.

    A search sees every change that was followed. An agent that changes often between two searches is indexed once.
    """

    def __init__(self, threshold: float, meanings: Meanings | None = None) -> None:
        """Under `threshold`, a probability, a caller should ask rather than guess. Without `meanings` words decide."""
        self._index, self._threshold, self._meanings = AgentIndex(), threshold, meanings
        self._seen = Document()
        self._cards: dict[str, Card] = {}
        self._unread: dict[str, None] = {}  # names of agents that the index does not know as they are, oldest first

    def follow(self, document: Document) -> None:
        """Takes in what changed since the last document, and nothing else. Free when nothing did.

        The newest few are left to be indexed before the next search: a writer does not wait for it.
        """
        if document is self._seen:
            return
        before, after = self._seen.agents, document.agents
        for name in self._changed_in(document):
            agent = after.get(name)
            if agent is None:
                if name in before:
                    self._remove(name)
            elif before.get(name) is not agent:
                self._put(_card(agent))
        self._seen = document

    def _put(self, card: Card) -> None:
        if self._cards.get(card.name) == card:  # what changed is nothing that it is found by
            return
        self._cards[card.name] = card
        self._unread.pop(card.name, None)
        self._unread[card.name] = None
        if len(self._unread) > UNREAD:
            self._read(next(iter(self._unread)))
        if self._meanings:
            self._meanings.put(card)

    def _remove(self, name: str) -> None:
        del self._cards[name]
        self._unread.pop(name, None)
        self._index.remove(name)
        if self._meanings:
            self._meanings.remove(name)

    def _read(self, name: str) -> None:
        del self._unread[name]
        self._index.put(self._cards[name])

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
        for name in list(self._unread):
            self._read(name)
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
