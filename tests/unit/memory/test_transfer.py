"""The import of much text: others are served meanwhile."""

import asyncio
from collections.abc import Sequence

from bureau_contracts.memory import EmbedPurpose, ExportedMemory, NewMemory
from kit.identity import Principal
from services.memory.embedder import EmbedderAway
from services.memory.embedder_hashed import DIMENSIONS, NAME
from services.memory.service import MemoryService
from services.memory.store_memory import InMemoryStore
from services.memory.transfer import Transfer
from services.memory.usage import UsageCounts
from services.memory.vectors import Vectors
from tests.fakes import FixedClock

ALICE = Principal("acme", "alice")


class Away:
    """An embedder that takes no time."""

    name, dimensions, strength = NAME, DIMENSIONS, "away"

    async def embed(self, texts: Sequence[str], purpose: EmbedPurpose) -> list[list[float]]:
        raise EmbedderAway("away")


async def test_while_much_text_is_imported_others_are_served() -> None:
    store, clock, vectors = InMemoryStore(NAME), FixedClock(), Vectors(Away())
    service = MemoryService(store, vectors, UsageCounts(store, clock), clock)
    transfer = Transfer(store, vectors, clock)
    (stored,) = await service.remember(ALICE, [NewMemory(text="likes tea")])
    memory = await service.get(ALICE, stored.memory_id)
    long = [" ".join(f"word{number}{each}" for each in range(9_000)) for number in range(20)]
    exported = [
        ExportedMemory(memory=memory.model_copy(update={"memory_id": f"mem-{number}", "text": text}))
        for number, text in enumerate(long)
    ]
    importing = asyncio.create_task(transfer.read(ALICE, exported))
    served = 0
    while not importing.done():
        await asyncio.sleep(0)
        served += 1
    assert [each.created for each in importing.result()] == [True] * len(long)
    assert served > 10
