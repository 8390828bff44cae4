"""What the service wants of embedders: vectors as far as they can be had. An embedder that is away stops nobody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bureau_contracts.memory import Embeddings, EmbedPurpose
from kit.tasks import together
from services.memory.embedder import Embedder, EmbedderAway


@dataclass(frozen=True, slots=True)
class QueryVectors:
    present: list[float] | None = None
    """None when the embedder is away."""
    previous: list[float] | None = None
    """By the embedder used before; None when it is away, or no longer needed."""


class Vectors:
    def __init__(
        self, embedder: Embedder, previous: Embedder | None = None, complete: Callable[[], bool] = lambda: False
    ) -> None:
        """`complete` says whether every memory has a vector of `embedder` by now, so that `previous` is not needed."""
        self._embedder, self._previous, self._complete = embedder, previous, complete

    async def of_query(self, query: str) -> QueryVectors:
        if self._previous is None or self._complete():
            return QueryVectors(await _one(self._embedder, query))
        return QueryVectors(*await together(_one(self._embedder, query), _one(self._previous, query)))

    async def of_texts(self, texts: Sequence[str]) -> list[list[float] | None]:
        """All of them, or None for each: the upkeep makes them later."""
        try:
            return [*await self._embedder.embed(texts, EmbedPurpose.DOCUMENT)]
        except EmbedderAway:
            return [None] * len(texts)

    async def embeddings(self, texts: Sequence[str], purpose: EmbedPurpose) -> Embeddings:
        """Raises EmbedderAway."""
        vectors = await self._embedder.embed(texts, purpose)
        return Embeddings(model=self._embedder.name, dimensions=self._embedder.dimensions, vectors=vectors)


async def _one(embedder: Embedder, text: str) -> list[float] | None:
    try:
        return (await embedder.embed([text], EmbedPurpose.QUERY))[0]
    except EmbedderAway:
        return None
