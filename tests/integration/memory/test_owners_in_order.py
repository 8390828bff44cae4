"""What removes memories of many owners locks them in the order in which additions do: neither waits for the other."""

import asyncio
from datetime import timedelta

from kit.identity import Owner
from kit.ids import new_id
from services.memory.pgvector import Options
from services.memory.store import Draft, Wording
from services.memory.store_pgvector import PgvectorStore
from tests.fakes import FixedClock
from tests.waiting import eventually

NOW = FixedClock().now()
USERS = [f"user-{number:02}" for number in range(20)]
AS_OF_LARGE_TABLES = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET enable_sort = off', current_database());
    EXECUTE format('ALTER DATABASE %I SET enable_nestloop = off', current_database());
END $$
"""
"""Their plans, which bring rows in no order of their own."""
LOCK = "SELECT FROM memory.owner WHERE tenant = 'acme' AND user_id = ANY($1::text[]) FOR UPDATE NOWAIT"


async def opened(url: str) -> PgvectorStore:
    store = PgvectorStore(Options(url, "none", 3))
    await store.prepare()
    return store


async def test_a_purge_of_many_owners_holds_none_while_it_waits_for_the_first(database_url: str) -> None:
    store = await opened(database_url)
    async with store.database.connection(10) as connection:
        await connection.execute(AS_OF_LARGE_TABLES)
    await store.close()
    store = await opened(database_url)
    wording = Wording("likes tea", b"tea", ("likes", "tea"), None)
    for user in reversed(USERS):
        await store.add([Draft(new_id("mem"), Owner("acme", user), wording, NOW, expires_at=NOW)])

    async def somebody_waits() -> bool:
        async with store.database.connection(10) as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with asyncio.TaskGroup() as group, store.database.connection(10) as connection, connection.transaction():
        await connection.execute(LOCK, USERS[:1])
        purged = group.create_task(store.purge_gone(NOW + timedelta(days=1), 100))
        await eventually(somebody_waits)
        await connection.execute(LOCK, USERS)
    assert purged.result() == len(USERS)
    await store.close()
