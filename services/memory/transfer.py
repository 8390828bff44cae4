"""Export and import of memories: everything that is known of them but their vectors, which are made anew."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from bureau_contracts.memory import (
    ExportedMemory,
    ExportPage,
    Memory,
    MemoryId,
    MemoryImported,
    MemoryPatch,
    NewMemory,
)
from kit.clock import Clock
from kit.errors import Invalid
from kit.identity import Owner, Principal
from kit.logs import get_logger
from services.memory.moments import utc
from services.memory.store import Imported, MemoryStore, Wording
from services.memory.vectors import Vectors
from services.memory.wording import digest, distinct_words

_memory_id = TypeAdapter[str](MemoryId)
log = get_logger(__name__)


class BadExport(Invalid):
    code = "bad_export"


class Transfer:
    def __init__(self, store: MemoryStore, vectors: Vectors, clock: Clock) -> None:
        self._store, self._vectors, self._clock = store, vectors, clock

    async def export(self, principal: Principal, user_id: str | None, after: str, limit: int) -> ExportPage:
        """By ID, so that nothing is missed or shown twice while memories are stored. What is deleted is not there."""
        found = await self._store.export(principal.reach(user_id), self._clock.now(), after, limit)
        return ExportPage(memories=found, next_after=found[-1].memory.memory_id if len(found) == limit else None)

    async def read(self, principal: Principal, exported: Sequence[ExportedMemory]) -> list[MemoryImported]:
        """Stores what is not there yet, under its own ID and with its own times. Safe to repeat. All of it or nothing.

        Raises BadExport, which names the memory, and Forbidden for another user's.
        """
        owners = [principal.owner(_checked(number, each).user_id) for number, each in enumerate(exported)]
        texts = [each.memory.text for each in exported]
        vectors = await self._vectors.of_texts(texts)

        def read() -> list[Wording]:
            return [Wording(t, digest(t), distinct_words(t), v) for t, v in zip(texts, vectors, strict=True)]

        wordings = await asyncio.to_thread(read)  # a body's texts take more than a second
        imports = [
            Imported(_owned(each.memory, owner), wording, each.versions)
            for each, owner, wording in zip(exported, owners, wordings, strict=True)
        ]
        created = await self._store.import_all(imports, self._clock.now())
        log.info("memories_imported", given=len(created), created=sum(created))
        return [
            MemoryImported(memory_id=each.memory.memory_id, created=made)
            for each, made in zip(exported, created, strict=True)
        ]


def _checked(number: int, exported: ExportedMemory) -> Memory:
    """What may be stored may be imported, and nothing else."""
    memory = exported.memory
    try:
        _memory_id.validate_python(memory.memory_id)
        NewMemory.model_validate(memory.model_dump(include=set(NewMemory.model_fields)))
        for version in exported.versions:
            MemoryPatch.model_validate(version.model_dump(include=set(MemoryPatch.model_fields)))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, ["memories", number, *problem["loc"]]))
        raise BadExport(f"{place}: {problem['msg']}") from None
    for name, moment in _moments(exported):
        try:
            utc(moment)
        except Invalid as error:
            raise BadExport(f"memories.{number}.{name}: {error.detail}") from None
    return memory


def _moments(exported: ExportedMemory) -> Iterator[tuple[str, datetime | None]]:
    for name in ("valid_from", "valid_to", "expires_at", "created_at", "updated_at"):
        yield name, getattr(exported.memory, name)
    for place, version in enumerate(exported.versions):
        yield f"versions.{place}.replaced_at", version.replaced_at


def _owned(memory: Memory, owner: Owner) -> Memory:
    unused = {"use_count": 0, "last_used_at": None}
    return memory.model_copy(update={"tenant": owner.tenant, "user_id": owner.user, **unused})
