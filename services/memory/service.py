"""The rules of memory: whose memories a caller stores and finds, and that a search never fails for want of a store."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from bureau_contracts.memory import (
    Embeddings,
    EmbedPurpose,
    Memory,
    MemoryHit,
    MemoryKind,
    MemoryPatch,
    MemoryStored,
    MemoryVersion,
    NewMemory,
    Origin,
    Quarantined,
    SearchDegraded,
    SearchMode,
    SimilarPair,
    SupersedeMemory,
)
from kit.clock import Clock
from kit.errors import NotFound
from kit.identity import Owner, Principal
from kit.ids import new_id
from kit.logs import get_logger
from kit.telemetry import current_trace_id, span
from services.memory.filters import Condition
from services.memory.moments import utc
from services.memory.store import Change, Draft, Filter, MemoryStore, Position, Query, StoreAway, Wording
from services.memory.usage import UsageCounts
from services.memory.use_log import UseLog
from services.memory.vectors import QueryVectors, Vectors
from services.memory.wording import digest, distinct_words

log = get_logger(__name__)

T = TypeVar("T")

QUERY_WORDS = 32
"""How many of a query's words are looked up; a whole message may be the query."""
LOOP_CHARACTERS = 10_000
"""Up to so many characters are read in the event loop (about a millisecond), more in a thread."""
SHORTEST_HALF_LIFE = timedelta(seconds=1)

PURGED_AT_ONCE = 1000


class MemoryNotFound(NotFound):
    code = "memory_not_found"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which memories a caller asks for, before it is known which it may have."""

    user_id: str | None = None
    agent: str | None = None
    kind: MemoryKind | None = None
    metadata: Condition | None = None
    origins: tuple[Origin, ...] = ()
    but_origins: tuple[Origin, ...] = ()
    quarantined: Quarantined = Quarantined.INCLUDE
    as_of: datetime | None = None
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked for, and how results are ordered."""

    q: str
    k: int = 5
    mode: SearchMode = SearchMode.HYBRID
    min_score: float | None = None
    half_life_days: float | None = None
    importance_weight: float = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What services/memory/settings.py explains."""

    quarantine: frozenset[Origin] = frozenset()
    purge_after: timedelta = timedelta(days=7)


class Erasable(Protocol):
    """What is kept of people beside their memories."""

    async def erase(self, owner: Owner) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    hits: list[MemoryHit]
    degraded: SearchDegraded | None


_RULES = Rules()


class MemoryService:
    def __init__(
        self, store: MemoryStore, vectors: Vectors, usage: UsageCounts, clock: Clock, rules: Rules = _RULES,
        beside: Sequence[Erasable] = (), uses: UseLog | None = None,
    ) -> None:  # fmt: skip
        """`beside` goes with a person's memories when they are erased; `uses` learns of every search."""
        self._beside, self._uses = beside, uses
        self._store, self._vectors, self._usage, self._clock, self._rules = store, vectors, usage, clock, rules

    async def remember(self, principal: Principal, memories: Sequence[NewMemory]) -> list[MemoryStored]:
        """Stores all or none. A text that its owner has already keeps its first ID."""
        owners = [principal.owner(memory.user_id) for memory in memories]
        expiries = [utc(memory.expires_at) for memory in memories]
        wordings = await self._worded([memory.text for memory in memories])
        now = self._clock.now()
        drafts = [
            Draft(
                new_id("mem"), owner, wording, now, memory.kind, memory.agent, memory.session_id,
                memory.source_seqs, memory.metadata, memory.importance, expires_at,
                memory.origin, memory.origin in self._rules.quarantine,
            )
            for memory, owner, wording, expires_at in zip(memories, owners, wordings, expiries, strict=True)
        ]  # fmt: skip
        stored = await self._store.add(drafts)
        log.info("memories_stored", created=sum(each.created for each in stored), given=len(stored))
        return stored

    async def search(self, principal: Principal, wanted: Wanted, look: Look) -> Found:
        """The memories that fit best; by their words alone, or none, when embedder or store cannot be asked."""
        reach, which = principal.reach(wanted.user_id), self._filter(wanted)
        began, degraded, hits = time.perf_counter(), None, list[MemoryHit]()
        with span("memory_search", {"mode": look.mode, "k": look.k}):
            query = await self._query(look)
            if query.vector is None and look.mode is not SearchMode.TEXT:
                degraded = SearchDegraded.EMBEDDER_AWAY
            try:
                hits = await self._store.search(reach, which, query)
            except StoreAway:
                degraded = SearchDegraded.STORE_AWAY
        self._usage.note(hit.memory.memory_id for hit in hits)
        if self._uses is not None and degraded is not SearchDegraded.STORE_AWAY:
            self._uses.note(principal.owner(wanted.user_id), current_trace_id(), wanted.agent, look.q, hits)
        duration_ms = round((time.perf_counter() - began) * 1000, 2)
        log.info("memory_search", results=len(hits), mode=look.mode, degraded=degraded, duration_ms=duration_ms)
        return Found(hits, degraded)

    async def related(self, principal: Principal, user_id: str, text: str, k: int) -> list[Memory]:
        """What is known that may have to do with a text: no turn's search, so it counts for none. Raises StoreAway."""
        wanted = Wanted(user_id, quarantined=Quarantined.EXCLUDE)
        query = await self._query(Look(text, k))
        hits = await self._store.search(principal.reach(user_id), self._filter(wanted), query)
        return [hit.memory for hit in hits]

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> Embeddings:
        """Asks the embedder alone: works while the store is away, and keeps nothing. Raises EmbedderAway."""
        return await self._vectors.embeddings(texts, purpose)

    async def similar(self, principal: Principal, wanted: Wanted, above: float, limit: int) -> list[SimilarPair]:
        """Of one owner: the caller, or the user that a tenant-wide scope names."""
        owner = principal.owner(wanted.user_id)
        pairs = await self._store.similar(owner, self._filter(wanted), above, limit)
        return [SimilarPair(first=one, second=other, similarity=similarity) for one, other, similarity in pairs]

    async def page(self, principal: Principal, wanted: Wanted, limit: int, after: Position | None) -> list[Memory]:
        return await self._store.page(principal.reach(wanted.user_id), self._filter(wanted), limit, after)

    async def get(self, principal: Principal, memory_id: str) -> Memory:
        return _found(await self._store.get(principal.reach(), memory_id, self._clock.now()))

    async def history(self, principal: Principal, memory_id: str) -> list[MemoryVersion]:
        return _found(await self._store.history(principal.reach(), memory_id, self._clock.now()))

    async def update(self, principal: Principal, memory_id: str, patch: MemoryPatch) -> Memory:
        """Changes what was sent. A null means the same as not sending, except that it takes an expiry away."""
        change = Change(
            wording=(await self._worded([patch.text]))[0] if patch.text is not None else None,
            kind=patch.kind,
            metadata=patch.metadata,
            importance=patch.importance,
            quarantined=patch.quarantined,
            expires_at=utc(patch.expires_at),
            lasts=patch.expires_at is None and "expires_at" in patch.model_fields_set,
        )
        memory = _found(await self._store.update(principal.reach(), memory_id, change, self._clock.now()))
        log.info("memory_updated", memory_id=memory_id, fields=sorted(patch.model_fields_set))
        return memory

    async def supersede(self, principal: Principal, memory_id: str, new: SupersedeMemory) -> Memory:
        """Something else is true now: the old memory ends, and the new one says which one it replaced.

        Raises Superseded or SameText.
        """
        (wording,) = await self._worded([new.text])
        now, new_id_ = self._clock.now(), new_id("mem")

        def successor(old: Memory) -> Draft:
            origin = new.origin or old.origin
            return Draft(
                new_id_, Owner(old.tenant, old.user_id), wording, now, new.kind or old.kind, old.agent,
                new.session_id, new.source_seqs or (), old.metadata if new.metadata is None else new.metadata,
                old.importance if new.importance is None else new.importance, old.expires_at,
                origin, old.quarantined or origin in self._rules.quarantine, old.memory_id,
            )  # fmt: skip

        memory = _found(await self._store.supersede(principal.reach(), memory_id, successor, now))
        log.info("memory_superseded", memory_id=memory_id, by=memory.memory_id)
        return memory

    async def forget(self, principal: Principal, memory_id: str, *, purge: bool = False) -> None:
        """Nothing finds it from now on; without `purge` it can be restored for some days."""
        _found(await self._store.delete(principal.reach(), memory_id, self._clock.now(), purge=purge) or None)
        log.info("memory_deleted", memory_id=memory_id, purged=purge)

    async def restore(self, principal: Principal, memory_id: str) -> Memory:
        now = self._clock.now()
        since = now - self._rules.purge_after
        memory = _found(await self._store.restore(principal.reach(), memory_id, now, deleted_after=since))
        log.info("memory_restored", memory_id=memory_id)
        return memory

    async def purge_gone(self) -> None:
        """Erases what was deleted, or has expired, long enough ago; in small steps, so that nobody waits for it."""
        before = self._clock.now() - self._rules.purge_after
        while purged := await self._store.purge_gone(before, PURGED_AT_ONCE):
            log.info("memories_purged", purged=purged)

    async def erase(self, principal: Principal, user_id: str) -> int:
        """Deletes all that is known of one person; a user erases only itself."""
        owner = principal.owner(user_id)
        erased = await self._store.erase(owner)
        for each in self._beside:
            await each.erase(owner)
        log.info("memories_erased", erased=erased)
        return erased

    def _filter(self, wanted: Wanted) -> Filter:
        return Filter(
            self._clock.now(), wanted.agent, wanted.kind, wanted.metadata, wanted.origins, wanted.but_origins,
            wanted.quarantined, utc(wanted.as_of), wanted.superseded,
        )  # fmt: skip

    async def _query(self, look: Look) -> Query:
        vectors = QueryVectors() if look.mode is SearchMode.TEXT else await self._vectors.of_query(look.q)
        by_words = look.mode is not SearchMode.VECTOR or vectors == QueryVectors()
        words = distinct_words(look.q)[:QUERY_WORDS] if by_words else ()
        days = look.half_life_days
        half_life = None if days is None else max(SHORTEST_HALF_LIFE, timedelta(days=days))
        return Query(
            look.mode,
            vectors.present,
            words,
            look.k,
            look.min_score,
            half_life,
            look.importance_weight,
            vectors.previous,
        )

    async def _worded(self, texts: Sequence[str]) -> list[Wording]:
        vectors = await self._vectors.of_texts(texts)

        def read() -> list[Wording]:
            return [Wording(t, digest(t), distinct_words(t), v) for t, v in zip(texts, vectors, strict=True)]

        return read() if sum(map(len, texts)) <= LOOP_CHARACTERS else await asyncio.to_thread(read)


def _found(thing: T | None) -> T:
    if thing is None:
        raise MemoryNotFound("no memory with this ID within your reach")
    return thing
