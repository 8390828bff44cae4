"""What is particular to the store in a SQLite file: a full disk, a damaged file, its indexes."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from bureau_contracts.sessions import NewMessage, Role, SessionStatus
from kit.errors import Unavailable
from kit.identity import Reach
from services.sessions import sqlite_file, sqlite_records
from services.sessions.edits import Edit, apply
from services.sessions.record import Current, Listing, Position, Write
from services.sessions.statements_sqlite import page_query
from services.sessions.store import Decide
from services.sessions.store_sqlite import SqliteSessionStore
from tests.unit.sessions.records import NOW, a_record

ANNA = Reach("acme", "anna")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteSessionStore]:
    store = SqliteSessionStore(tmp_path / "sessions.db")
    await store.open()
    yield store
    await store.close()


def append(text: str) -> Decide[int]:
    def decide(current: Current) -> tuple[int, Write]:
        write = apply(current.record, Edit(messages=[NewMessage(role=Role.USER, content=text)]), NOW)
        return write.messages[0].seq, write

    return decide


async def test_a_full_disk_is_said_and_changes_nothing_and_passes(store: SqliteSessionStore) -> None:
    await store.create(a_record())
    before = await store.get(ANNA, "sess-1")

    async def limit_pages(count: int) -> None:
        await store.database.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {count}"))

    await limit_pages(1)  # SQLite takes the pages that the file has already
    with pytest.raises(Unavailable, match="full") as refused:
        await store.change(ANNA, "sess-1", append("x" * 1_000_000))
    assert refused.value.code == "store_unavailable"
    assert await store.get(ANNA, "sess-1") == before
    await limit_pages(1_000_000)
    assert await store.change(ANNA, "sess-1", append("x" * 1_000_000)) == 1


async def test_every_way_to_list_has_an_index_of_its_own(tmp_path: Path, store: SqliteSessionStore) -> None:
    del store  # made the file
    connection = sqlite_file.connect(tmp_path / "sessions.db")
    indexes = set()
    try:
        which = [Listing(), Listing(status=SessionStatus.IDLE), Listing(agent="a"), Listing(since=NOW, until=NOW)]
        for user, listing, after in product((None, "anna"), which, (None, Position(NOW, "sess-2"))):
            query, values = page_query(Reach("acme", user), listing, after, limit=10)
            plan = " ".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))
            assert "TEMP B-TREE" not in plan
            indexes.add(re.findall(r"USING (?:COVERING )?INDEX (\w+)", plan)[0])
    finally:
        connection.close()
    assert indexes == {
        "sessions_of_user", "sessions_of_user_by_status", "sessions_of_tenant", "sessions_of_tenant_by_status",
        "sessions_of_user_by_agent", "sessions_of_tenant_by_agent",
    }  # fmt: skip


async def test_a_failing_write_leaves_the_next_one_alone(store: SqliteSessionStore) -> None:
    await store.create(a_record())

    def twice_the_same_number(current: Current) -> tuple[None, Write]:
        write = apply(current.record, Edit(messages=[NewMessage(role=Role.USER)]), NOW)
        return None, replace(write, messages=[*write.messages, *write.messages])

    with pytest.raises(sqlite3.IntegrityError):
        await store.change(ANNA, "sess-1", twice_the_same_number)
    assert await store.change(ANNA, "sess-1", append("fine")) == 1


async def test_a_change_does_not_read_what_the_one_before_it_wrote(store: SqliteSessionStore) -> None:
    await store.create(a_record())
    assert await store.change(ANNA, "sess-1", append("one")) == 1
    statements: list[str] = []
    await store.database.write(lambda connection: connection.set_trace_callback(statements.append))
    assert await store.change(ANNA, "sess-1", append("two")) == 2
    assert not [each for each in statements if each.lstrip().startswith("SELECT") and "incarnation" in each]
    assert [each for each in statements if each.lstrip().startswith("UPDATE sessions")]


async def test_what_was_undone_with_others_is_not_remembered(store: SqliteSessionStore) -> None:
    await store.create(a_record())
    assert await store.change(ANNA, "sess-1", append("one")) == 1

    def fail_half_done(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM sessions WHERE session_id = 'sess-1'")
        raise ValueError

    go_on, held = await hold(store)
    waiting = [
        asyncio.ensure_future(store.change(ANNA, "sess-1", append("two"))),
        asyncio.ensure_future(store.database.write(fail_half_done)),
        asyncio.ensure_future(store.change(ANNA, "sess-1", append("three"))),
    ]
    await asyncio.sleep(0)
    go_on.set()
    await held
    two, failed, three = await asyncio.gather(*waiting, return_exceptions=True)
    assert (two, three) == (2, 3)
    assert isinstance(failed, ValueError)


async def test_what_could_not_be_committed_is_not_remembered(store: SqliteSessionStore) -> None:
    await store.create(a_record())

    def break_at_commit(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO turns VALUES ('acme', 'sess-nobody', 'turn-1', '', '', '')")

    go_on, held = await hold(store)
    waiting = [
        asyncio.ensure_future(store.change(ANNA, "sess-1", append("one"))),
        asyncio.ensure_future(store.database.write(break_at_commit)),
    ]
    await asyncio.sleep(0)
    go_on.set()
    await held
    assert all(
        isinstance(each, sqlite3.IntegrityError) for each in await asyncio.gather(*waiting, return_exceptions=True)
    )
    assert await store.change(ANNA, "sess-1", append("one")) == 1


async def test_a_large_session_is_not_held_in_memory(store: SqliteSessionStore) -> None:
    await store.create(a_record(state={"large": "x" * sqlite_records.LARGEST}))
    assert await store.change(ANNA, "sess-1", append("one")) == 1
    assert store.database.records.find("acme", "sess-1") is None


async def hold(store: SqliteSessionStore) -> tuple[threading.Event, "asyncio.Future[None]"]:
    """Keeps the writer busy until the event is set, so that what comes meanwhile is one transaction."""
    busy, go_on = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        busy.set()
        assert go_on.wait(5)

    held = asyncio.ensure_future(store.database.write(work))
    assert await asyncio.to_thread(busy.wait, 5)
    return go_on, held
