"""The memory's rules that no route shows: what is logged, and what is not."""

import pytest
from structlog.testing import capture_logs

from bureau_contracts.memory import MemoryPatch, NewMemory, SearchMode
from kit.errors import Forbidden
from kit.identity import TENANT_WIDE, Principal
from services.memory.embedder_hashed import NAME, HashedEmbedder
from services.memory.service import QUERY_WORDS, Look, MemoryService, Wanted
from services.memory.store_memory import InMemoryStore
from services.memory.usage import UsageCounts
from services.memory.vectors import Vectors
from tests.fakes import FixedClock

ALICE = Principal("acme", "alice")
SECRET = "xyzzy"


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore(NAME)


@pytest.fixture
def service(store: InMemoryStore) -> MemoryService:
    clock = FixedClock()
    return MemoryService(store, Vectors(HashedEmbedder()), UsageCounts(store, clock), clock)


async def search(service: MemoryService, q: str, mode: SearchMode = SearchMode.HYBRID) -> list[str]:
    found = await service.search(ALICE, Wanted(), Look(q, mode=mode))
    return [hit.memory.text for hit in found.hits]


async def test_a_search_is_logged_with_its_size_and_time(service: MemoryService, store: InMemoryStore) -> None:
    await service.remember(ALICE, [NewMemory(text="likes tea")])
    with capture_logs() as logs:
        await search(service, "tea", SearchMode.TEXT)
        store.away = True
        await search(service, "tea")
    first, second = ({**entry, "duration_ms": entry["duration_ms"] >= 0} for entry in logs)
    assert first == {
        "event": "memory_search", "log_level": "info", "module": "services.memory.service",
        "results": 1, "mode": "text", "degraded": None, "duration_ms": True,
    }  # fmt: skip
    assert (second["results"], second["degraded"]) == (0, "store_away")


async def test_no_text_is_ever_logged(service: MemoryService) -> None:
    with capture_logs() as logs:
        (stored,) = await service.remember(ALICE, [NewMemory(text=f"{SECRET} one", metadata={"note": SECRET})])
        await search(service, f"{SECRET} two")
        await service.update(ALICE, stored.memory_id, MemoryPatch(text=f"{SECRET} three"))
        await service.forget(ALICE, stored.memory_id)
        await service.erase(ALICE, "alice")
    assert len(logs) == 5
    assert SECRET not in repr(logs)


async def test_a_whole_message_may_be_the_query(service: MemoryService) -> None:
    await service.remember(ALICE, [NewMemory(text="likes tea")])
    message = "tea " + " ".join(f"word{number}" for number in range(10 * QUERY_WORDS))
    assert await search(service, message, SearchMode.TEXT) == ["likes tea"]


@pytest.mark.parametrize("days", [1e-300, 1e-9])
async def test_the_shortest_half_life_is_one_still(service: MemoryService, days: float) -> None:
    await service.remember(ALICE, [NewMemory(text="likes tea")])
    found = await service.search(ALICE, Wanted(), Look("tea", half_life_days=days))
    assert [hit.recency for hit in found.hits] == [1]


async def test_a_batch_with_one_foreign_owner_stores_nothing(service: MemoryService) -> None:
    with pytest.raises(Forbidden):
        await service.remember(ALICE, [NewMemory(text="mine"), NewMemory(text="planted", user_id="bob")])
    everybody = Principal("acme", "op", scopes=frozenset({TENANT_WIDE}))
    assert await service.page(everybody, Wanted(), 10, None) == []
