"""What every store of the registry promises, on each adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bureau_contracts.registry import AgentRecord
from kit.errors import Conflict, Unavailable
from kit.health import Degraded
from services.registry.document import Change, Document
from services.registry.json_file import JsonFile
from services.registry.store import NOT_WRITABLE, RegistryStore
from services.registry.store_json import open_json_store
from services.registry.store_memory import MemoryStore
from tests.fakes import FixedClock
from tests.registry_records import drop
from tests.registry_records import put as put_record


@dataclass(frozen=True)
class Case:
    store: RegistryStore
    break_writes: Callable[[bool], None]


OpenCase = Callable[[Path], AbstractAsyncContextManager[Case]]


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[Case]:
    store = MemoryStore()
    yield Case(store, lambda broken: setattr(store, "broken", broken))


@dataclass
class BrokenDisk:
    broken: bool = False
    synced: list[int] = field(default_factory=list)

    def sync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.synced.append(descriptor)


@asynccontextmanager
async def json(folder: Path) -> AsyncIterator[Case]:
    disk = BrokenDisk()
    async with open_json_store(JsonFile(folder / "registry.json", sync=disk.sync), FixedClock()) as store:
        yield Case(store, lambda broken: setattr(disk, "broken", broken))


@pytest.fixture(params=[memory, json])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    open_case: OpenCase = request.param
    async with open_case(tmp_path) as case:
        yield case


def agent(name: str, revision: int = 1) -> AgentRecord:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return AgentRecord(
        name=name, http="http://agent/turn", revision=revision, registered_at=moment, updated_at=moment
    )  # fmt: skip


def put(name: str) -> Change:
    return lambda document: put_record(document, agent(name))


def count_up(name: str) -> Change:
    return lambda document: put_record(document, document.agents[name])


def refuse(_: Document) -> Document:
    raise Conflict("not now", code="not_now")


async def test_a_committed_change_is_visible(case: Case) -> None:
    committed = await case.store.commit(put("tickets"))
    assert committed.agents["tickets"].http == "http://agent/turn"
    assert case.store.document.agents == committed.agents


async def test_agents_stand_in_the_order_of_their_names(case: Case) -> None:
    for name in ("oxygen", "finops", "tickets"):
        await case.store.commit(put(name))
    assert list(case.store.document.agents) == ["finops", "oxygen", "tickets"]


async def test_an_agent_can_be_removed(case: Case) -> None:
    await case.store.commit(put("tickets"))
    await case.store.commit(lambda document: drop(document, "tickets"))
    assert case.store.document.agents == {}


async def test_a_document_that_was_read_never_changes(case: Case) -> None:
    before = case.store.document
    await case.store.commit(put("tickets"))
    assert before.agents == {}


async def test_a_refused_change_leaves_no_trace(case: Case) -> None:
    await case.store.commit(put("tickets"))
    with pytest.raises(Conflict) as refusal:
        await case.store.commit(refuse)
    assert refusal.value.code == "not_now"
    assert list(case.store.document.agents) == ["tickets"]


async def test_a_bug_in_one_change_harms_no_other(case: Case) -> None:
    results = await asyncio.gather(
        case.store.commit(put("finops")),
        case.store.commit(count_up("nobody")),
        case.store.commit(put("tickets")),
        return_exceptions=True,
    )
    assert isinstance(results[1], KeyError)
    assert list(case.store.document.agents) == ["finops", "tickets"]


async def test_concurrent_changes_of_one_agent_are_all_counted(case: Case) -> None:
    await case.store.commit(put("tickets"))
    async with asyncio.TaskGroup() as group:
        commits = [group.create_task(case.store.commit(count_up("tickets"))) for _ in range(64)]
    assert case.store.document.agents["tickets"].revision == 65
    assert sorted(commit.result().agents["tickets"].revision for commit in commits) == list(range(2, 66))


async def test_of_many_who_want_one_name_exactly_one_gets_it(case: Case) -> None:
    def take(document: Document) -> Document:
        return refuse(document) if "tickets" in document.agents else put("tickets")(document)

    results = await asyncio.gather(*(case.store.commit(take) for _ in range(32)), return_exceptions=True)
    assert sum(isinstance(result, Document) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 31


async def test_a_change_that_cannot_be_written_has_not_happened(case: Case) -> None:
    await case.store.commit(put("tickets"))
    case.break_writes(True)
    results = await asyncio.gather(
        *(case.store.commit(put(name)) for name in ("finops", "oxygen")),
        case.store.commit(lambda document: drop(document, "tickets")),
        return_exceptions=True,
    )
    assert [getattr(result, "code", result) for result in results] == [NOT_WRITABLE] * 3
    assert all(isinstance(result, Unavailable) and result.retry_after for result in results)
    assert list(case.store.document.agents) == ["tickets"]


async def test_writes_work_again_once_the_disk_does(case: Case) -> None:
    case.break_writes(True)
    with pytest.raises(Unavailable):
        await case.store.commit(put("tickets"))
    with pytest.raises(Degraded):
        await case.store.check()
    case.break_writes(False)
    await case.store.commit(put("tickets"))
    assert await case.store.check() == ""
    assert list(case.store.document.agents) == ["tickets"]


async def test_a_change_that_changes_nothing_needs_no_disk(case: Case) -> None:
    await case.store.commit(put("tickets"))
    case.break_writes(True)
    assert (await case.store.commit(lambda document: document)).agents.keys() == {"tickets"}


async def test_who_waits_for_something_newer_gets_it_when_it_is_committed(case: Case) -> None:
    waiting = asyncio.ensure_future(case.store.newer_than(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await case.store.commit(put("tickets"))
    async with asyncio.timeout(5):
        assert (await waiting).agents.keys() == {"tickets"}


async def test_what_is_newer_already_is_not_waited_for(case: Case) -> None:
    await case.store.commit(put("tickets"))
    async with asyncio.timeout(5):
        assert (await case.store.newer_than(0)).seq == 1


async def test_nobody_is_told_of_what_could_not_be_written(case: Case) -> None:
    waiting = asyncio.ensure_future(case.store.newer_than(0))
    case.break_writes(True)
    with pytest.raises(Unavailable):
        await case.store.commit(put("tickets"))
    assert not waiting.done()
    case.break_writes(False)
    await case.store.commit(put("finops"))
    async with asyncio.timeout(5):
        assert (await waiting).agents.keys() == {"finops"}


async def test_many_waiters_miss_none_of_many_changes(case: Case) -> None:
    async def follow() -> list[int]:
        seen = [0]
        while seen[-1] < 100:
            seen.append((await case.store.newer_than(seen[-1])).seq)
        return seen

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(8)]
        for number in range(100):
            await case.store.commit(put(f"agent-{number}"))
    for follower in followers:
        assert follower.result() == sorted(set(follower.result()))
        assert follower.result()[-1] == 100
