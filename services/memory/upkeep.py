"""Gives every memory a vector of the present model, in the background: after a change of model, or when the embedder
was away as a text was stored. Any number of processes may try; one at a time does it, and another goes on after it.
And reads their words anew after a change of language."""

from contextlib import suppress
from dataclasses import dataclass

from bureau_contracts.memory import EmbedPurpose
from kit.health import Degraded
from kit.logs import get_logger
from services.memory.embedder import Embedder, EmbedderAway
from services.memory.store import StoreAway, Upkeep

log = get_logger(__name__)

BATCH = 64
FORGOTTEN_AT_ONCE = 5_000
REREAD_AT_ONCE = 500


@dataclass
class Progress:
    """Of this process, for `/health`."""

    lacking: int | None = None
    """Memories without a vector when last counted; None before that."""
    made: int = 0
    reason: str = ""
    """Why it does not go on."""


class VectorUpkeep:
    def __init__(self, store: Upkeep, embedder: Embedder, forget: str = "") -> None:
        """`forget` names a model that is no longer used: its vectors are deleted."""
        self._store, self._embedder, self._forget = store, embedder, forget
        self.progress = Progress()
        self._after = ""
        """Where the next batch begins: a text that the embedder never takes holds up no others."""

    @property
    def done(self) -> bool:
        """Whether every memory had a vector when last looked."""
        return self.progress.lacking == 0

    async def run(self) -> None:
        """Goes on until nothing lacks a vector, somebody else is at it, or the embedder or the store is away."""
        try:
            while await self._batch():
                pass
            while self._forget and await self._store.forget_model(self._forget, FORGOTTEN_AT_ONCE):
                log.info("vectors_forgotten", model=self._forget)
            self._forget = ""
            self.progress.lacking = await self._store.lacking()
            self.progress.reason = ""
        except EmbedderAway as error:
            self.progress.reason = error.detail
        except StoreAway:
            self.progress.reason = ""  # the store's own check says so, until it is back
        if self.progress.made and self.done:
            log.info("vectors_complete", model=self._embedder.name, made=self.progress.made)
            self.progress.made = 0

    async def _batch(self) -> bool:
        async with self._store.unembedded(BATCH, self._after) as memories:
            if not memories:
                self._after = "" if memories is not None else self._after
                return False
            self._after = memories[-1].memory_id
            if self.progress.lacking in (None, 0):
                self.progress.lacking = await self._store.lacking()
                log.info("vectors_lacking", model=self._embedder.name, memories=self.progress.lacking)
            vectors = await self._embedder.embed([memory.text for memory in memories], EmbedPurpose.DOCUMENT)
            made = await self._store.embedded(list(zip(memories, vectors, strict=True)))
        self.progress.made += made
        self.progress.lacking = max(0, (self.progress.lacking or 0) - made)
        return True

    async def ping(self) -> str:
        """For `/health`: raises Degraded while memories lack vectors and it does not go on."""
        progress = self.progress
        if progress.reason:
            raise Degraded(f"memories without vectors are found by their words: {progress.reason}")
        return f"{progress.lacking} memories still lack a vector" if progress.lacking else ""


class WordUpkeep:
    """Until it is done, memories of another language are found by their words as written."""

    def __init__(self, store: Upkeep) -> None:
        self._store = store
        self._unread = 0

    async def run(self) -> None:
        """Goes on until all are read, a store of another language was opened since, or the store is away."""
        read = 0
        with suppress(StoreAway):
            while some := await self._store.reread(REREAD_AT_ONCE):
                read += some
            self._unread = await self._store.unread()
        if read:
            log.info("words_read_anew", memories=read, left=self._unread)

    async def ping(self) -> str:
        """For `/health`."""
        return f"{self._unread} memories were read in another language" if self._unread else ""
