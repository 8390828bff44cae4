"""Embeddings for measuring and fitting the routing: with the memory's own embedders, each text once."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import numpy as np

from bureau_contracts.memory import EmbedPurpose
from kit.settings import SettingsError
from services.memory.embedder import Embedder
from services.memory.embedder_hashed import HashedEmbedder
from services.registry.cards import Card
from services.registry.embeddings import texts_of
from services.registry.meaning import Meaning
from services.registry.ranking import FITTED, Tuning
from services.registry.vectors import Floats, Vectors

BATCH = 512


class Embedded:
    """Texts as vectors of one model."""

    def __init__(self, embedder: Embedder) -> None:
        self.model, self.dimensions = embedder.name, embedder.dimensions
        self._embedder = embedder
        self._known: dict[str, Floats] = {}

    def learn(self, texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            found = np.array(asyncio.run(self._embedder.embed(batch, EmbedPurpose.DOCUMENT)), dtype=np.float32)
            self._known |= zip(batch, found, strict=True)

    def vector(self, text: str) -> Floats:
        if text not in self._known:
            self.learn([text])
        return self._known[text]

    def make(self, text: str) -> None:
        """Embeds, known or not: for measuring."""
        asyncio.run(self._embedder.embed([text], EmbedPurpose.QUERY))

    def vectors(self, cards: Sequence[Card]) -> Vectors:
        self.learn(text for card in cards for text in texts_of(card))
        vectors = Vectors(self.dimensions)
        for card in cards:
            vectors.put(card.name, [self.vector(text) for text in texts_of(card)])
        return vectors

    def meaning(self, cards: Sequence[Card], tuning: Tuning | None = None) -> Callable[[str], Meaning]:
        """What the index needs to know of a query."""
        vectors, tuned = self.vectors(cards), tuning or FITTED[self.model]
        return lambda query: Meaning(vectors.cosines(self.vector(query)), tuned)


def embedders() -> list[Embedded]:
    """Those that work here: the sentence model is not always installed."""
    found: list[Embedder] = [HashedEmbedder()]
    with suppress(ModuleNotFoundError, SettingsError):
        from services.memory.embedder_sentence import SentenceEmbedder

        found.append(SentenceEmbedder())
    return [Embedded(embedder) for embedder in found]
