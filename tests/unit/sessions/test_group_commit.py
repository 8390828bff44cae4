"""The writer: what waits is committed together, and what fails takes nothing with it."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.errors import Unavailable
from services.sessions import group_commit, sqlite_file
from services.sessions.group_commit import GroupCommitWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    connection = sqlite_file.connect(tmp_path / "numbers.db")
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    connection.close()
    return tmp_path / "numbers.db"


@pytest.fixture
async def commits() -> list[str]:
    """A line for each transaction that the writer began or ended."""
    return []


@pytest.fixture
async def writer(path: Path, commits: list[str]) -> AsyncIterator[GroupCommitWriter]:
    connection = sqlite_file.connect(path)
    connection.set_trace_callback(lambda sql: commits.append(sql) if sql in ("COMMIT", "ROLLBACK") else None)
    writer = GroupCommitWriter(connection)
    yield writer
    await writer.close()


def insert(number: int) -> group_commit.Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return work


def kept(path: Path) -> list[int]:
    connection = sqlite_file.connect(path)
    try:
        return [row["number"] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]
    finally:
        connection.close()


async def hold(writer: GroupCommitWriter) -> tuple[threading.Event, "asyncio.Task[None]"]:
    """Keeps the writer busy until the event is set, so that what comes meanwhile waits together."""
    busy, go_on = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        busy.set()
        assert go_on.wait(5)

    held = asyncio.ensure_future(writer.run(work))
    assert await asyncio.to_thread(busy.wait, 5)
    return go_on, held


async def test_what_waits_is_committed_together(writer: GroupCommitWriter, path: Path, commits: list[str]) -> None:
    go_on, held = await hold(writer)
    waiting = [asyncio.ensure_future(writer.run(insert(number))) for number in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*waiting) == list(range(100))
    await held
    assert commits == ["COMMIT", "COMMIT"]
    assert kept(path) == list(range(100))


async def test_work_that_fails_takes_nothing_with_it(writer: GroupCommitWriter, path: Path) -> None:
    go_on, held = await hold(writer)

    def fail(connection: sqlite3.Connection) -> None:
        insert(7)(connection)
        raise ValueError("no")

    waiting = [asyncio.ensure_future(writer.run(work)) for work in (insert(1), fail, insert(1), insert(2))]
    await asyncio.sleep(0)
    go_on.set()
    one, failed, double, two = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert (one, two) == (1, 2)
    assert isinstance(failed, ValueError)
    assert isinstance(double, sqlite3.IntegrityError)
    assert kept(path) == [1, 2]


async def test_a_transaction_that_fails_fails_for_all_in_it_and_the_next_one_works(
    writer: GroupCommitWriter, path: Path
) -> None:
    go_on, held = await hold(writer)

    def end_it(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    waiting = [asyncio.ensure_future(writer.run(work)) for work in (insert(1), end_it, insert(2))]
    await asyncio.sleep(0)
    go_on.set()
    await held
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in outcomes)
    assert await writer.run(insert(3)) == 3
    assert kept(path) == [3]


async def test_a_caller_that_left_does_not_disturb_the_others(writer: GroupCommitWriter, path: Path) -> None:
    go_on, held = await hold(writer)
    leaving, staying = (asyncio.ensure_future(writer.run(insert(number))) for number in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    go_on.set()
    assert await staying == 2
    await held


async def test_too_many_waiting_are_refused_at_once(writer: GroupCommitWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 2)
    go_on, held = await hold(writer)
    waiting = [asyncio.ensure_future(writer.run(insert(number))) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await writer.run(insert(3))
    go_on.set()
    await asyncio.gather(held, *waiting)


async def test_closing_does_what_waits_first(path: Path) -> None:
    writer = GroupCommitWriter(sqlite_file.connect(path))
    go_on, held = await hold(writer)
    waiting = asyncio.ensure_future(writer.run(insert(1)))
    await asyncio.sleep(0)
    go_on.set()
    await writer.close()
    await held
    assert await waiting == 1
    assert kept(path) == [1]
