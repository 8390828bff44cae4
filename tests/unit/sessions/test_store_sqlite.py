"""What is particular to the store in a SQLite file: a full disk, a damaged file, its indexes."""

import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from bureau_contracts.sessions import NewMessage, Role, SessionStatus
from kit.errors import Unavailable
from kit.identity import Reach
from services.sessions import sqlite_file
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
