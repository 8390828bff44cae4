"""Embeddings of the agents, kept in step with what is committed, in the background; and of queries, when asked.

A search never fails and hardly waits for want of them: words alone decide then. Nothing is stored; at every start the
embeddings are made anew. Needs numpy.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from kit.logs import get_logger
from services.registry.cards import Card
from services.registry.embedder import MOST_TEXTS, Embedded, Embedder, EmbedderAway
from services.registry.meaning import Meaning
from services.registry.ranking import FITTED, Tuning
from services.registry.vectors import Floats, Vectors

log = get_logger(__name__)

PAUSE_SECONDS = 5.0
"""For how long an embedder that failed is not asked again."""
REMEMBERED_QUERIES = 1024
TEXTS = 32
"""Of one agent."""
TEXT_CHARS = 2_000
"""Of one text: more than a sentence model reads."""

Fitted = Mapping[str, Tuning]


def texts_of(card: Card) -> list[str]:
    """What an agent is embedded by: its examples and what it says it does; failing both, its name."""
    said = [_clean(text) for text in (card.description, *card.examples)]
    return list(dict.fromkeys(text for text in said if text))[:TEXTS] or [card.name]


def _clean(text: str) -> str:
    """What any embedder takes: one odd text must not keep the others from being embedded."""
    return text[:TEXT_CHARS].replace("\x00", " ").encode(errors="replace").decode().strip()


class Embeddings:
    """Used in one event loop. `run` must run for agents to be embedded."""

    def __init__(self, embedder: Embedder, fitted: Fitted = FITTED, now: Callable[[], float] = time.monotonic) -> None:
        self._embedder, self._fitted, self._now = embedder, fitted, now
        self._model = ""  # of all vectors below
        self._vectors: Vectors | None = None
        self._cards: dict[str, Card] = {}
        self._digests: dict[str, list[bytes]] = {}  # of the texts behind an agent's vectors, in order
        # Agents whose vectors are to be made, oldest first, with what need not be made again: digest → vector.
        self._waiting: dict[str, dict[bytes, Floats]] = {}
        self._work = asyncio.Event()
        self._queries: OrderedDict[str, Sequence[float]] = OrderedDict()
        self._away_until = 0.0

    @property
    def model(self) -> str:
        """Empty until the embedder has answered."""
        return self._model

    @property
    def waiting(self) -> int:
        """Agents that have no embeddings yet."""
        return len(self._waiting)

    def put(self, card: Card) -> None:
        """An agent is there or has changed: vectors of what it no longer says are gone at once."""
        before = self._cards.get(card.name)
        self._cards[card.name] = card
        if before is not None and texts_of(card) == texts_of(before):
            return
        kept = self._vectors.of(card.name) if self._vectors else []
        old = dict(zip(self._digests.pop(card.name, []), kept, strict=True))
        self._waiting[card.name] = self._waiting.get(card.name, {}) | old
        if self._vectors:
            self._vectors.remove(card.name)
        self._work.set()

    def remove(self, name: str) -> None:
        """Forget an agent; one that is not there is no error."""
        self._cards.pop(name, None)
        self._digests.pop(name, None)
        self._waiting.pop(name, None)
        if self._vectors:
            self._vectors.remove(name)

    async def meaning(self, query: str) -> Meaning | None:
        """What embeddings say to a query; None when words alone must do."""
        query, tuning = _clean(query), self._fitted.get(self._model)
        if not query or tuning is None or not self._vectors:
            return None
        vector = self._queries.get(query)
        if vector is None:
            vector = await self._ask(query)
        else:
            self._queries.move_to_end(query)
        vectors = self._vectors  # others may have come while the embedder was asked
        return Meaning(vectors.cosines(vector), tuning) if vectors and vector else None

    async def run(self) -> None:
        """Embeds what has changed, for ever."""
        while True:
            await self._work.wait()
            try:
                if not await self.step():
                    self._work.clear()
            except EmbedderAway as error:
                self._fail(error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> bool:
        """Embeds some of what waits; False when nothing does. Raises EmbedderAway; it then waits on."""
        batch: dict[str, Card] = {}
        texts: dict[bytes, str] = {}
        for name, had in islice(self._waiting.items(), MOST_TEXTS):
            new = {digest: text for digest, text in _digested(self._cards[name]) if digest not in had}
            if batch and len(texts) + len(new) > MOST_TEXTS:
                break
            batch[name] = self._cards[name]
            texts |= new
        if not batch:
            return False
        made: Mapping[bytes, Sequence[float]] = {}
        if texts:
            found = await self._embedder.documents(list(texts.values()))
            if found.model != self._model:
                known = self._model
                self._begin(found)
                if known:  # a pause, lest two replicas with two models keep us at it for ever
                    raise EmbedderAway("its model has changed")
                return True
            made = dict(zip(texts, found.vectors, strict=True))
        for name, card in batch.items():
            if self._cards.get(name) is card and name in self._waiting:  # not changed again meanwhile
                self._keep(name, card, made)
        return True

    def _keep(self, name: str, card: Card, made: Mapping[bytes, Sequence[float]]) -> None:
        assert self._vectors is not None
        vectors: dict[bytes, Sequence[float] | Floats] = {**self._waiting[name], **made}
        digests = [digest for digest, _ in _digested(card)]
        try:
            self._vectors.put(name, [vectors[digest] for digest in digests])
        except ValueError as error:
            raise EmbedderAway(str(error)) from error
        self._digests[name] = digests
        self._waiting.pop(name, None)
        if not self._waiting:
            log.info("agents_embedded", agents=len(self._digests), model=self._model)

    def _begin(self, found: Embedded) -> None:
        self._model = found.model
        self._queries.clear()
        self._digests.clear()
        self._vectors = Vectors(len(found.vectors[0]))
        fitted = found.model in self._fitted
        self._waiting = {name: {} for name in self._cards} if fitted else {}
        self._work.set()
        log.info("embedding_model_met", model=found.model, fitted=fitted, agents=len(self._cards))

    async def _ask(self, query: str) -> Sequence[float] | None:
        if self._now() < self._away_until:
            return None
        try:
            found = await self._embedder.query(query)
        except EmbedderAway as error:
            self._fail(error)
            return None
        if found.model != self._model:
            self._begin(found)
            return None
        vector = found.vectors[0]
        if self._vectors is None or len(vector) != self._vectors.dimensions:
            return None
        self._queries[query] = vector
        if len(self._queries) > REMEMBERED_QUERIES:
            self._queries.popitem(last=False)
        return vector

    def _fail(self, error: EmbedderAway) -> None:
        self._away_until = self._now() + PAUSE_SECONDS
        log.warning("embedder_away", error=str(error), pause_seconds=PAUSE_SECONDS)


def _digested(card: Card) -> list[tuple[bytes, str]]:
    return [(hashlib.sha256(text.encode()).digest(), text) for text in texts_of(card)]
