"""What embeddings say to one query, as evidence beside that of words. Arithmetic only: makes and keeps no embedding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.registry.cards import Card
from services.registry.ranking import Tuning


class Nearness(NamedTuple):
    """How near an agent is to a query: two cosines."""

    nearest: float  # to its nearest text
    centre: float  # to the middle of its texts


class Cosines(Protocol):
    """How near the agents that have embeddings are to one query."""

    def of(self, name: str) -> Nearness | None: ...

    def best_first(self, nearest: float, centre: float) -> Iterable[tuple[str, float]]:
        """Agents by the falling sum of both cosines, each times its weight; and that sum."""


class Meanings(Protocol):
    """Whoever has the embeddings of agents and gets those of queries."""

    def put(self, card: Card) -> None:
        """An agent is there or has changed."""

    def remove(self, name: str) -> None: ...

    async def meaning(self, query: str) -> "Meaning | None":
        """What embeddings say to a query; None, soon, when words alone must do."""


class Said(NamedTuple):
    amount: float  # in log-odds
    nearest: float | None  # None for an agent without embeddings


@dataclass(frozen=True)
class Meaning:
    cosines: Cosines
    tuning: Tuning
    """Fitted for the model that the embeddings are of."""

    def knows_all(self, names: Iterable[str]) -> bool:
        return all(self.cosines.of(name) is not None for name in names)

    def best_first(self) -> Iterable[tuple[str, float]]:
        """Agents by falling evidence; and that evidence."""
        return self.cosines.best_first(self.tuning.weights.nearest, self.tuning.weights.centre)

    def evidence(self, names: Sequence[str]) -> list[Said]:
        """Of each agent. One without embeddings is neither helped nor harmed: it gets what is usual among them."""
        weights = self.tuning.weights
        found = [self.cosines.of(name) for name in names]
        known = [weights.nearest * one.nearest + weights.centre * one.centre for one in found if one]
        usual, amounts = sum(known) / len(known) if known else 0.0, iter(known)
        return [Said(next(amounts), one.nearest) if one else Said(usual, None) for one in found]
