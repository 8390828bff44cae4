"""The port to whoever turns texts into vectors. The registry has no model of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MOST_TEXTS = 32
"""Of one call: what is quick to compute, to send and to read."""


@dataclass(frozen=True)
class Embedded:
    model: str
    vectors: Sequence[Sequence[float]]
    """One per text, in order."""


class EmbedderAway(Exception):
    """No vectors for now."""


class Embedder(Protocol):
    """- A call ends soon, with vectors or with EmbedderAway.
    - Vectors are finite; those of the same model have the same length; the model may change between calls.
    """

    async def query(self, text: str) -> Embedded:
        """For a caller that waits; on behalf of whoever asks."""

    async def documents(self, texts: Sequence[str]) -> Embedded:
        """At most MOST_TEXTS; on behalf of the registry."""
