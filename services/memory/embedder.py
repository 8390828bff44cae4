"""The port of embedders: what turns texts into vectors. Which one is used is chosen in `app.py`."""

from collections.abc import Sequence
from typing import Protocol

from bureau_contracts.memory import EmbedPurpose
from kit.errors import Unavailable


class EmbedderAway(Unavailable):
    """The embedder cannot be asked now, or does not answer as it should."""

    code = "embedder_away"


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how close the texts are.

    - The same text for the same purpose gives the same vector, in every process and on every machine, as long as
      `name` is the same; a model behind a network may differ in the last digits.
    - Vectors are finite, of length 1, and have `dimensions` numbers.
    - One vector per text, in the order of the texts. A text longer than the embedder can read is cut, not refused.
    - The event loop is not blocked. EmbedderAway is raised soon, and for all of the texts or for none.
    """

    @property
    def name(self) -> str:
        """Which model this is, version included: lower-case letters, digits, ``.``, ``_`` and ``-``; at most 50."""

    @property
    def dimensions(self) -> int:
        """At most 4,000: what an index over half-precision vectors takes."""

    @property
    def strength(self) -> str:
        """What it can and cannot tell, in a few words, for `/health`."""

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]: ...
