"""What a store of sessions keeps of a tenant, looked at past its port: for tests of what is erased."""

import json
from typing import Any

from services.sessions.store import SessionStore
from services.sessions.store_cached import CachedSessionStore
from services.sessions.store_memory import MemorySessionStore
from services.sessions.store_postgres import PostgresSessionStore
from services.sessions.store_sqlite import SqliteSessionStore


async def stored_texts(store: SessionStore, tenant: str) -> list[str]:
    """Of all messages that are kept for the tenant, whoever shows them."""
    if isinstance(store, CachedSessionStore):
        return await stored_texts(store.behind, tenant)
    if isinstance(store, MemorySessionStore):
        kept = [each for place, messages in vars(store)["_messages"].items() if place[0] == tenant for each in messages]
        return sorted(str(message.content) for message in kept)
    return sorted(json.loads(row[0]) for row in await _fetch(store, "SELECT content FROM {messages}", tenant))


async def rows_left(store: SessionStore, tenant: str) -> dict[str, int]:
    """How many of each table are the tenant's, where there are any."""
    if isinstance(store, CachedSessionStore):
        return await rows_left(store.behind, tenant)
    if isinstance(store, MemorySessionStore):
        tables = {name: table for name, table in vars(store).items() if isinstance(table, dict)}
        counts = {
            name: sum(1 for key, each in table.items() if key[0] == tenant and each) for name, table in tables.items()
        }
    else:
        tables_of = (
            "SELECT t.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c WHERE c.name = 'tenant'"
            if isinstance(store, SqliteSessionStore)
            else "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'sessions' AND column_name = 'tenant'"
        )
        names = [row[0] for row in await _fetch(store, tables_of)]
        assert {"sessions", "messages", "undos", "shown"} <= set(names)
        counts = {name: (await _fetch(store, f"SELECT count(*) FROM {{{name}}}", tenant))[0][0] for name in names}
    return {name: count for name, count in counts.items() if count}


async def _fetch(store: SessionStore, query: str, tenant: str | None = None) -> list[Any]:
    """A table's name stands in braces. With `tenant` of its rows alone."""
    values = [] if tenant is None else [tenant]
    if isinstance(store, SqliteSessionStore):
        asked = query.replace("{", "").replace("}", "") + (" WHERE tenant = ?" if tenant else "")
        return await store.database.read(lambda connection: connection.execute(asked, values).fetchall())
    assert isinstance(store, PostgresSessionStore)
    asked = query.replace("{", "sessions.").replace("}", "") + (" WHERE tenant = $1" if tenant else "")
    async with store.connection() as connection:
        return list(await connection.fetch(asked, *values))
