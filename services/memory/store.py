"""The port of the memory's store, and what goes in and out of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from bureau_contracts.memory import (
    ExportedMemory,
    Memory,
    MemoryHit,
    MemoryKind,
    MemoryStored,
    MemoryVersion,
    Origin,
    Quarantined,
    SearchMode,
)
from bureau_contracts.shapes import JsonObject
from kit.errors import Conflict, Unavailable
from kit.identity import Owner, Reach
from services.memory.filters import Condition

FUSION_OFFSET = 2
"""The k of reciprocal rank fusion: a place n is worth 1 / (k + n). https://doi.org/10.1145/1571941.1572114 has 60; see
docs/adr/0036-rare-words-count-more.md."""
MOST_HALF_LIVES = 500
"""Age counts up to so many of them: what is left then is still a number, which smaller ones soon are not."""
VERSIONS_SHOWN = 200
PAIRED = 1000
"""Memories that are compared with each other: half a million pairs."""
NO_MODEL = ""
"""The embedding model of a memory that has no vector yet: it is found by its words."""
CANDIDATES = (50, 200)
"""How many a ranking may give: a few sizes, as each is a statement with a plan of its own. Not fewer than 50,
because an index scan under a filter ends with the last that is asked for, and the nearest may come later."""


class StoreAway(Unavailable):
    """The store cannot be asked now. A call that was under way may or may not have been carried out."""

    code = "memory_store_away"


class InTheWay(StoreAway):
    """Another change was in the way of a call, which was not carried out: the store itself is there."""


class Superseded(Conflict):
    """It is kept as it was: something else is true since."""

    code = "memory_superseded"


class SameText(Conflict):
    """A change would give one owner the same text twice."""

    code = "same_text"


@dataclass(frozen=True, slots=True)
class Wording:
    """A text with all that is computed from it."""

    text: str
    digest: bytes
    words: tuple[str, ...]
    vector: list[float] | None
    """By the embedder whose model the store was opened for; None when it was away, and makes it later."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A memory that is to be stored."""

    memory_id: str
    owner: Owner
    wording: Wording
    created_at: datetime
    kind: MemoryKind = MemoryKind.FACT
    agent: str | None = None
    session_id: str | None = None
    source_seqs: Sequence[int] = ()
    metadata: JsonObject = field(default_factory=dict)
    importance: float = 0.5
    expires_at: datetime | None = None
    origin: Origin = Origin.USER
    quarantined: bool = False
    supersedes: str | None = None


Successor = Callable[[Memory], Draft]
"""Makes of a memory what takes its place: of the same owner and agent. Pure."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a memory becomes; None leaves a part as it is."""

    wording: Wording | None = None
    kind: MemoryKind | None = None
    metadata: JsonObject | None = None
    importance: float | None = None
    quarantined: bool | None = None
    expires_at: datetime | None = None
    lasts: bool = False
    """True takes the expiry away."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which memories within reach are meant. An expired one never is."""

    now: datetime
    agent: str | None = None
    kind: MemoryKind | None = None
    metadata: Condition | None = None
    origins: tuple[Origin, ...] = ()
    """Any, when empty."""
    but_origins: tuple[Origin, ...] = ()
    quarantined: Quarantined = Quarantined.INCLUDE
    as_of: datetime | None = None
    """What was true then; None means now."""
    superseded: bool = False
    """Also what is no longer true, whenever it was."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: after this memory, in the order of the list."""

    created_at: datetime
    memory_id: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. A search by text has no vector, one by vector no words."""

    mode: SearchMode
    vector: list[float] | None
    words: tuple[str, ...]
    k: int
    min_score: float | None = None
    half_life: timedelta | None = None
    importance_weight: float = 0
    previous_vector: list[float] | None = None
    """By the embedder that was used before: finds what has no vector of the present one yet."""

    @property
    def is_by_words(self) -> bool:
        """Alone: also where no embedder could be asked."""
        return self.vector is None and self.previous_vector is None

    @property
    def candidates(self) -> int:
        """How many each ranking gives: more than are wanted where two are joined."""
        wanted = self.k if self.mode is not SearchMode.HYBRID else max(50, 2 * self.k)
        return next((size for size in CANDIDATES if size >= wanted), wanted)


@dataclass(frozen=True, slots=True)
class Imported:
    """A memory as it was elsewhere."""

    memory: Memory
    wording: Wording
    versions: Sequence[MemoryVersion]


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A memory that has no vector of the store's model."""

    memory_id: str
    digest: bytes
    text: str


def changed(memory: Memory, change: Change, now: datetime, model: str) -> Memory:
    """The memory after the change, the same object when nothing differs. `model` makes vectors of new texts.

    Raises Superseded.
    """
    if memory.superseded_by is not None:
        raise Superseded(f"this memory was superseded by {memory.superseded_by}: change that one")
    wanted: dict[str, object] = {
        "text": change.wording.text if change.wording else None,
        "kind": change.kind,
        "metadata": change.metadata,
        "importance": change.importance,
        "quarantined": change.quarantined,
        "expires_at": change.expires_at,
    }
    new = {name: value for name, value in wanted.items() if value is not None and value != getattr(memory, name)}
    if change.lasts and memory.expires_at is not None:
        new["expires_at"] = None
    if "text" in new and change.wording is not None:
        new["embedding_model"] = model if change.wording.vector is not None else NO_MODEL
    return memory.model_copy(update={**new, "updated_at": now}) if new else memory


class MemoryStore(Protocol):
    """Keeps memories, and finds them again.

    - What was acknowledged survives a crash of the process and of the machine.
    - A call sees and touches only what is within its reach, whatever else it asks for.
    - One owner (tenant, user, agent) has a text once, however many store it at the same time.
    - A change keeps what was before it; purging and erasing leave nothing, of former versions either.
    - An expired or deleted memory is in no answer and stands in nobody's way.
    - A search's order, before recency and importance are counted in: the text ranking counts which share of the query's
      words a memory has, newer first among equals, and a word the more the rarer it is among the memories within reach
      (`word_weights.py`); the vector ranking is by cosine; a hybrid search adds 1 / (FUSION_OFFSET + place) over
      both, among the words times that share.
    - A store of a language counts the words' base forms beside the words as written, so a word that is there in another
      form alone counts half. The language's commonest words are looked for only when a query has no others.
    - Every call raises StoreAway, soon, when the store cannot be reached, and works again once it can.
    """

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        """Stores all or none; one answer per draft, in order."""

    async def get(self, reach: Reach, memory_id: str, now: datetime) -> Memory | None: ...

    async def page(self, reach: Reach, which: Filter, limit: int, after: Position | None) -> list[Memory]:
        """Newest first."""

    async def update(self, reach: Reach, memory_id: str, change: Change, now: datetime) -> Memory | None:
        """The memory after the change, None when there is none. One that changes nothing leaves no version behind.

        Raises SameText or Superseded.
        """

    async def supersede(self, reach: Reach, memory_id: str, successor: Successor, now: datetime) -> Memory | None:
        """What is true since `now` instead; None when there is no such memory. Both are stored, or none.

        Raises SameText when the owner has the new text already, Superseded when the old one was superseded before.
        """

    async def history(self, reach: Reach, memory_id: str, now: datetime) -> list[MemoryVersion] | None:
        """Former versions, the newest VERSIONS_SHOWN, newest first. None when there is no such memory."""

    async def delete(self, reach: Reach, memory_id: str, now: datetime, *, purge: bool = False) -> bool:
        """From then on nothing finds it. With `purge` nothing is left of it, else it can be restored for a while."""

    async def restore(self, reach: Reach, memory_id: str, now: datetime, *, deleted_after: datetime) -> Memory | None:
        """The memory as it was before it was deleted; None when it was not, or its text was stored again since."""

    async def purge_gone(self, before: datetime, limit: int) -> int:
        """Erases up to so many memories, of all owners, that were deleted or have expired before then; how many."""

    async def erase(self, owner: Owner) -> int:
        """Deletes all of one owner's memories, expired ones too; how many there were."""

    async def search(self, reach: Reach, which: Filter, query: Query) -> list[MemoryHit]:
        """At most `query.k`, best first. Gives up sooner than other calls: a turn waits for it."""

    async def similar(
        self, owner: Owner, which: Filter, above: float, limit: int
    ) -> list[tuple[Memory, Memory, float]]:
        """Pairs of this owner's newest PAIRED memories whose vectors have at least this cosine, the closest first."""

    async def export(self, reach: Reach, now: datetime, after: str, limit: int) -> list[ExportedMemory]:
        """By ID, from behind `after`, with former versions; superseded ones too."""

    async def import_all(self, imports: Sequence[Imported], now: datetime) -> list[bool]:
        """Whether each was stored: not when its ID, or its text with this owner, is there. All that can be, or none.

        What has expired or was deleted stands in nobody's way.
        """

    async def note_used(self, counts: Mapping[str, int], at: datetime) -> None:
        """Adds to use counts. What is no longer there is passed over."""

    async def ping(self) -> str:
        """For `/health`: raises when the store is away."""


class Upkeep(Protocol):
    """Keeps every memory's vector up with the model, and its words with the language, that the store was opened for.
    Works for all tenants: never shown to a caller."""

    def unembedded(self, limit: int, after: str) -> AbstractAsyncContextManager[Sequence[Unembedded] | None]:
        """Memories without a vector of the model, by ID from behind `after`; None while another process holds such a
        block.

        Expired ones count too: they go when somebody comes upon them. Raises StoreAway.
        """

    async def embedded(self, vectors: Sequence[tuple[Unembedded, list[float]]]) -> int:
        """Keeps the vectors of those memories that still have the text that was embedded; how many."""

    async def lacking(self) -> int:
        """How many memories have no vector of the model."""

    async def reread(self, limit: int) -> int:
        """Reads up to so many memories' words anew, of those that were read in another language; how many. None since a
        store of another language was opened: the one that was opened last has its way."""

    async def unread(self) -> int:
        """How many memories' words were read in another language."""

    async def forget_model(self, model: str, limit: int) -> int:
        """Deletes up to so many vectors of another model, and first its index; how many."""
