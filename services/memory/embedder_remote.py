"""An embedder behind a network, whoever runs it: batches, cuts, repeats, checks and normalises.

What is particular to a provider is the one call of the `Provider` port: `provider_openai.py`, `provider_vertex.py`.
"""

import asyncio
import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bureau_contracts.memory import EmbedPurpose
from kit.logs import get_logger
from kit.outside_api import ApiFailed, Patience, retried
from services.memory.embedder import EmbedderAway

log = get_logger(__name__)

LONGEST_NAME = 50
REST_SECONDS = 2.0
"""After a failure nobody is asked for so long: a dead provider costs one search its time limit, not every one."""
PARALLEL_CALLS = 4
PATIENCE = Patience(attempts=3, first_pause_seconds=0.25, longest_pause_seconds=5)
"""A turn may be waiting for a search."""


class Provider(Protocol):
    """One call to whoever runs the model. Checks nothing, repeats nothing."""

    @property
    def texts_per_call(self) -> int: ...

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        """Raises ApiFailed."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What must be known of a model that is asked over a network."""

    family: str
    """``openai`` or ``vertex``: the first part of the embedder's name."""
    model: str
    dimensions: int
    max_tokens: int = 2000
    """How much of one text the model reads; more is cut."""
    patience: Patience = PATIENCE


class RemoteEmbedder:
    """Embedder. While it rests after a failure every call raises EmbedderAway at once."""

    strength = "semantic"

    def __init__(self, provider: Provider, remote: Remote, now: Callable[[], float] = time.monotonic) -> None:
        self._provider, self._remote, self._now = provider, remote, now
        self.name, self.dimensions = name_of(remote), remote.dimensions
        self._rests_until = 0.0
        self._reason = ""
        self._slots = asyncio.Semaphore(PARALLEL_CALLS)

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        left = self._rests_until - self._now()
        if left > 0:
            raise EmbedderAway(self._reason, retry_after=left)
        batches = list(_batches([cut(text, self._remote.max_tokens) for text in texts], self._provider.texts_per_call))
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(batch, purpose)) for batch in batches]
        except* ApiFailed as failures:
            failure = failures.exceptions[0]
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
            self._rest(failure.what if isinstance(failure, ApiFailed) else repr(failure))
            raise EmbedderAway(self._reason, retry_after=REST_SECONDS) from failure
        return [vector for each in asked for vector in each.result()]

    async def _ask(self, batch: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        async with self._slots:
            vectors = await retried(lambda: self._provider.embed(batch, purpose), self._remote.patience)
        if len(vectors) != len(batch):
            raise ApiFailed(f"{self.name} answered with {len(vectors)} vectors for {len(batch)} texts")
        return [self._checked(vector) for vector in vectors]

    def _checked(self, vector: Sequence[float]) -> list[float]:
        if len(vector) != self.dimensions:
            raise ApiFailed(f"{self.name} answered with {len(vector)} numbers; MEMORY_EMBEDDER says {self.dimensions}")
        length = math.sqrt(math.fsum(value * value for value in vector))
        if not math.isfinite(length) or length == 0:
            raise ApiFailed(f"{self.name} answered with a vector that has no direction")
        return [value / length for value in vector]

    def _rest(self, reason: str) -> None:
        self._reason, self._rests_until = reason, self._now() + REST_SECONDS
        log.warning("embedder_away", embedder=self.name, reason=reason)


def name_of(remote: Remote) -> str:
    """The same model at another size is another embedder: their vectors cannot be compared."""
    whole = f"{remote.family}:{remote.model}:{remote.dimensions}"
    slug = re.sub(r"[^a-z0-9._-]+", "-", whole.lower())
    if len(slug) <= LONGEST_NAME and slug == whole.replace(":", "-").replace("/", "-"):
        return slug
    return f"{slug[: LONGEST_NAME - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def cut(text: str, max_tokens: int) -> str:
    """The beginning of the text that surely has at most so many tokens.

    Reckoned on the safe side: three plain letters make a token, any other character may be two.
    """
    if len(text) <= max_tokens // 2:
        return text
    left = 6 * max_tokens
    for place, character in enumerate(text):
        left -= 2 if character.isascii() else 12
        if left < 0:
            return text[:place]
    return text


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]
