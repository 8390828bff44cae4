"""Memories in this process alone, for tests: the same promises and the same ranking, nothing durable."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from bureau_contracts.memory import (
    ExportedMemory,
    Memory,
    MemoryHit,
    MemoryStored,
    MemoryVersion,
)
from bureau_contracts.shapes import JsonObject
from kit.identity import Owner, Reach
from services.memory.rows_memory import Row, memory_of_draft
from services.memory.search_memory import LANGUAGES, found, pairs
from services.memory.store import (
    NO_MODEL,
    PAIRED,
    VERSIONS_SHOWN,
    Change,
    Draft,
    Filter,
    Imported,
    Position,
    Query,
    SameText,
    StoreAway,
    Successor,
    Superseded,
    Unembedded,
    changed,
)


class InMemoryStore:
    """MemoryStore in a dictionary. `away` makes it behave as a store that cannot be reached."""

    def __init__(self, model: str, language: str = "simple") -> None:
        """Of languages it knows ``simple`` and ``english``."""
        self._model = model
        self._language = LANGUAGES[language]
        self._rows: dict[str, Row] = {}
        self.away = False
        self._in_upkeep = False

    async def add(self, drafts: Sequence[Draft]) -> list[MemoryStored]:
        self.check()
        return [self._add(draft) for draft in drafts]

    def _add(self, draft: Draft) -> MemoryStored:
        row = Row(memory_of_draft(draft, self._model), draft.wording)
        same = self._same_text(row, draft.created_at)
        if same is not None:
            return MemoryStored(memory_id=same.memory.memory_id, created=False)
        self._rows[draft.memory_id] = row
        return MemoryStored(memory_id=draft.memory_id, created=True)

    async def get(self, reach: Reach, memory_id: str, now: datetime) -> Memory | None:
        row = self._find(reach, memory_id, now)
        return None if row is None else row.memory

    async def page(self, reach: Reach, which: Filter, limit: int, after: Position | None) -> list[Memory]:
        rows = self._meant(reach, which)
        if after is not None:
            rows = [row for row in rows if row.position < (after.created_at, after.memory_id)]
        return [row.memory for row in rows[:limit]]

    async def update(self, reach: Reach, memory_id: str, change: Change, now: datetime) -> Memory | None:
        row = self._find(reach, memory_id, now)
        if row is None:
            return None
        before, after = row.memory, changed(row.memory, change, now, self._model)
        if after is before:
            return before
        new = replace(row, memory=after, wording=change.wording or row.wording)
        if self._same_text(new, now) is not None:
            raise SameText("this owner has a memory with this text already")
        row.versions.append(MemoryVersion.model_validate({**before.model_dump(), "replaced_at": now}))
        self._rows[memory_id] = new
        return after

    async def history(self, reach: Reach, memory_id: str, now: datetime) -> list[MemoryVersion] | None:
        row = self._find(reach, memory_id, now)
        return None if row is None else row.versions[: -VERSIONS_SHOWN - 1 : -1]

    async def supersede(self, reach: Reach, memory_id: str, successor: Successor, now: datetime) -> Memory | None:
        row = self._find(reach, memory_id, now)
        if row is None:
            return None
        if row.memory.superseded_by is not None:
            raise Superseded(f"this memory was superseded by {row.memory.superseded_by}")
        draft = successor(row.memory)
        closed = row.memory.model_copy(update={"valid_to": now, "superseded_by": draft.memory_id, "updated_at": now})
        retired = replace(row.wording, digest=row.wording.digest + memory_id.encode())
        self._rows[memory_id] = replace(row, memory=closed, wording=retired)
        if not self._add(draft).created:
            self._rows[memory_id] = row
            raise SameText("this owner has a memory with this text already")
        return self._rows[draft.memory_id].memory

    async def delete(self, reach: Reach, memory_id: str, now: datetime, *, purge: bool = False) -> bool:
        row = self._find(reach, memory_id, now)
        if row is None and purge:
            gone = self._rows.get(memory_id)
            row = gone if gone is not None and gone.is_within(reach) and gone.deleted_at is not None else None
        if row is None:
            return False
        if purge:
            del self._rows[memory_id]
        else:
            self._rows[memory_id] = replace(row, deleted_at=now)
        return True

    async def restore(self, reach: Reach, memory_id: str, now: datetime, *, deleted_after: datetime) -> Memory | None:
        self.check()
        row = self._rows.get(memory_id)
        if row is None or not row.is_within(reach) or row.deleted_at is None or row.deleted_at <= deleted_after:
            return None
        # As in Postgres its vector went with the deletion, and comes back with the next upkeep.
        memory = row.memory.model_copy(update={"embedding_model": NO_MODEL})
        back = replace(row, memory=memory, wording=replace(row.wording, vector=None), deleted_at=None)
        if not back.lives(now):
            return None
        self._rows[memory_id] = back
        return memory

    async def purge_gone(self, before: datetime, limit: int) -> int:
        self.check()
        gone = [
            memory_id
            for memory_id, row in self._rows.items()
            if (row.deleted_at is not None and row.deleted_at < before)
            or (row.deleted_at is None and row.memory.expires_at is not None and row.memory.expires_at < before)
        ][:limit]
        for memory_id in gone:
            del self._rows[memory_id]
        return len(gone)

    async def erase(self, owner: Owner) -> int:
        self.check()
        reach = Reach(owner.tenant, owner.user)
        erased = [memory_id for memory_id, row in self._rows.items() if row.is_within(reach)]
        for memory_id in erased:
            del self._rows[memory_id]
        return len(erased)

    async def search(self, reach: Reach, which: Filter, query: Query) -> list[MemoryHit]:
        within = [row for row in self._rows.values() if row.is_within(reach) and row.lives(which.now)]
        within.sort(key=lambda row: row.position)
        return found(self._meant(reach, which), within, query, which.now, self._language)

    async def similar(
        self, owner: Owner, which: Filter, above: float, limit: int
    ) -> list[tuple[Memory, Memory, float]]:
        return pairs(self._meant(Reach(owner.tenant, owner.user), which)[:PAIRED], above, limit)

    async def export(self, reach: Reach, now: datetime, after: str, limit: int) -> list[ExportedMemory]:
        self.check()
        rows = [row for row in self._rows.values() if row.is_within(reach) and row.lives(now)]
        rows = sorted((row for row in rows if row.memory.memory_id > after), key=lambda row: row.memory.memory_id)
        return [
            ExportedMemory(memory=row.memory, versions=row.versions[: -VERSIONS_SHOWN - 1 : -1]) for row in rows[:limit]
        ]

    async def import_all(self, imports: Sequence[Imported], now: datetime) -> list[bool]:
        self.check()
        return [self._import(each, now) for each in imports]

    def _import(self, imported: Imported, now: datetime) -> bool:
        memory, wording = imported.memory, imported.wording
        if memory.superseded_by:
            wording = replace(wording, digest=wording.digest + memory.memory_id.encode())
        model = NO_MODEL if wording.vector is None else self._model
        row = Row(memory.model_copy(update={"embedding_model": model}), wording, list(reversed(imported.versions)))
        same_id = self._rows.get(memory.memory_id)
        owner = (memory.tenant, memory.user_id)
        if same_id is not None and (same_id.lives(now) or (same_id.memory.tenant, same_id.memory.user_id) != owner):
            return False
        if self._same_text(row, now) is not None:
            return False
        self._rows[memory.memory_id] = row
        return True

    async def note_used(self, counts: Mapping[str, int], at: datetime) -> None:
        self.check()
        for memory_id, times in counts.items():
            row = self._rows.get(memory_id)
            if row is not None:
                used = {"use_count": row.memory.use_count + times, "last_used_at": at}
                self._rows[memory_id] = replace(row, memory=row.memory.model_copy(update=used))

    @asynccontextmanager
    async def unembedded(self, limit: int, after: str) -> AsyncIterator[Sequence[Unembedded] | None]:
        self.check()
        if self._in_upkeep:
            yield None
            return
        self._in_upkeep = True
        try:
            yield [
                Unembedded(memory_id, row.wording.digest, row.memory.text)
                for memory_id, row in sorted(self._rows.items())
                if row.wording.vector is None and row.deleted_at is None and memory_id > after
            ][:limit]
        finally:
            self._in_upkeep = False

    async def embedded(self, vectors: Sequence[tuple[Unembedded, list[float]]]) -> int:
        self.check()
        kept = 0
        for memory, vector in vectors:
            row = self._rows.get(memory.memory_id)
            lacks = row is not None and row.deleted_at is None and row.wording.vector is None
            if row is not None and lacks and row.wording.digest == memory.digest:
                embedded = row.memory.model_copy(update={"embedding_model": self._model})
                self._rows[memory.memory_id] = replace(
                    row, memory=embedded, wording=replace(row.wording, vector=vector)
                )
                kept += 1
        return kept

    async def lacking(self) -> int:
        self.check()
        return sum(row.wording.vector is None and row.deleted_at is None for row in self._rows.values())

    async def reread(self, limit: int) -> int:
        self.check()
        return 0  # it is of one language as long as it lives

    async def unread(self) -> int:
        self.check()
        return 0

    async def forget_model(self, model: str, limit: int) -> int:
        self.check()
        return 0  # it has vectors of one model alone

    async def prepare(self) -> None:
        """Nothing to prepare; an adapter that connects has something."""

    async def close(self) -> None:
        """Nothing to close."""

    async def ping(self) -> str:
        self.check()
        return ""

    def check(self) -> None:
        """Raises StoreAway while it is made to be away."""
        if self.away:
            raise StoreAway("the memory's database is away")

    def living(self, reach: Reach, now: datetime) -> list[Memory]:
        """For what stands beside the memories."""
        self.check()
        return [row.memory for row in self._rows.values() if row.is_within(reach) and row.lives(now)]

    def describe(self, memory_id: str, metadata: JsonObject) -> None:
        """Gives a chunk its place in a document's new version; no version is kept, as its text did not change."""
        row = self._rows[memory_id]
        self._rows[memory_id] = replace(row, memory=row.memory.model_copy(update={"metadata": metadata}))

    def holds(self, tenant: str, memory_id: str) -> bool:
        """Whether there is such a memory, deleted or not."""
        row = self._rows.get(memory_id)
        return row is not None and row.memory.tenant == tenant

    def _find(self, reach: Reach, memory_id: str, now: datetime) -> Row | None:
        self.check()
        row = self._rows.get(memory_id)
        return row if row is not None and row.is_within(reach) and row.lives(now) else None

    def _meant(self, reach: Reach, which: Filter) -> list[Row]:
        self.check()
        rows = [row for row in self._rows.values() if row.is_within(reach) and row.is_meant(which)]
        return sorted(rows, key=lambda row: row.position, reverse=True)

    def _same_text(self, new: Row, now: datetime) -> Row | None:
        """Another row of this owner with this text; an expired one is deleted and does not count."""
        for row in list(self._rows.values()):
            if row.key == new.key and row.memory.memory_id != new.memory.memory_id:
                if row.lives(now):
                    return row
                del self._rows[row.memory.memory_id]
        return None
