"""What the file store promises beyond its port: sharing of writes, readers that never wait, an orderly end."""

import asyncio
import threading
from pathlib import Path

import pytest

from bureau_contracts.registry import AgentRecord
from kit.errors import Unavailable
from kit.health import Degraded
from services.registry.document import Change, Document
from services.registry.json_file import JsonFile
from services.registry.store_json import open_json_store
from tests.fakes import FixedClock
from tests.registry_records import put as put_record

CLOCK = FixedClock()
PATIENCE_SECONDS = 10


class SlowDisk:
    """Every sync waits until it is let go. Counts them."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.count = 0

    def sync(self, _: int) -> None:
        self.count += 1
        self.begun.release()
        assert self.may_end.acquire(timeout=PATIENCE_SECONDS)

    async def wait_until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_SECONDS)

    def let_go(self, times: int = 100) -> None:
        self.may_end.release(times)


def put(name: str) -> Change:
    agent = AgentRecord(
        name=name, http="http://agent/turn", revision=1, registered_at=CLOCK.now(), updated_at=CLOCK.now()
    )  # fmt: skip
    return lambda document: put_record(document, agent)


async def test_changes_that_arrive_during_a_write_share_the_next_one(tmp_path: Path) -> None:
    disk = SlowDisk()
    async with (
        open_json_store(JsonFile(tmp_path / "registry.json", sync=disk.sync), CLOCK) as store,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(store.commit(put("first")))
        await disk.wait_until_begun()
        for number in range(64):
            group.create_task(store.commit(put(f"later-{number}")))
        await asyncio.sleep(0)
        disk.let_go()
    assert len(store.document.agents) == 65
    assert disk.count == 4  # two writes, each of which syncs the file and the folder


async def test_nobody_sees_a_change_before_it_is_durable_and_no_reader_waits(tmp_path: Path) -> None:
    disk = SlowDisk()
    async with open_json_store(JsonFile(tmp_path / "registry.json", sync=disk.sync), CLOCK) as store:
        async with asyncio.TaskGroup() as group:
            group.create_task(store.commit(put("tickets")))
            await disk.wait_until_begun()
            assert store.document.agents == {}
            disk.let_go()
        assert list(store.document.agents) == ["tickets"]


async def test_a_caller_who_leaves_does_not_disturb_the_others(tmp_path: Path) -> None:
    disk = SlowDisk()
    async with open_json_store(JsonFile(tmp_path / "registry.json", sync=disk.sync), CLOCK) as store:
        async with asyncio.TaskGroup() as group:
            group.create_task(store.commit(put("first")))
            await disk.wait_until_begun()
            leaving = group.create_task(store.commit(put("left-before-its-write")))
            group.create_task(store.commit(put("stayed")))
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.sleep(0)
            disk.let_go()
        assert list(store.document.agents) == ["first", "stayed"]


async def test_closing_writes_what_waits_and_takes_no_more(tmp_path: Path) -> None:
    disk, path = SlowDisk(), tmp_path / "registry.json"
    async with asyncio.TaskGroup() as group:
        async with open_json_store(JsonFile(path, sync=disk.sync), CLOCK) as store:
            group.create_task(store.commit(put("under-way")))
            await disk.wait_until_begun()
            group.create_task(store.commit(put("waiting")))
            await asyncio.sleep(0)
            disk.let_go()
        with pytest.raises(Unavailable):
            await store.commit(put("too-late"))
    async with open_json_store(JsonFile(path), CLOCK) as again:
        assert list(again.document.agents) == ["under-way", "waiting"]


async def test_what_was_repaired_is_shown_in_the_health(tmp_path: Path) -> None:
    (tmp_path / "registry.json").write_text("garbage")
    async with open_json_store(JsonFile(tmp_path / "registry.json"), CLOCK) as store:
        with pytest.raises(Degraded, match="STARTED EMPTY"):
            await store.check()


async def test_a_change_that_takes_long_holds_up_nobody_else(tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(document: Document) -> Document:
        begun.set()
        assert may_end.wait(PATIENCE_SECONDS), "the event loop stood still"
        return put("slow")(document)

    async with open_json_store(JsonFile(tmp_path / "registry.json"), CLOCK) as store, asyncio.TaskGroup() as group:
        group.create_task(store.commit(slow))
        assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        later = group.create_task(store.commit(put("later")))
        assert store.document.agents == {}
        may_end.set()
        assert list((await later).agents) == ["later", "slow"]
