"""Whole sessions out of and into Postgres."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg

from bureau_contracts.sessions import Invocation, Message
from services.sessions import rows
from services.sessions import statements_postgres as sql
from services.sessions import statements_transfer_postgres as transfer_sql
from services.sessions.errors import SessionExists
from services.sessions.record import StoredTurn, Undo
from services.sessions.transfer import Whole, shifted
from services.sessions.transfer_rows import rows_of


class PostgresSessionRows:
    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """`connection` is the store's: it raises Unavailable while the database is away."""
        self._connection = connection

    async def messages(
        self, tenant: str, session_id: str, branch: int, *, after: int, before: int, limit: int
    ) -> list[Message]:
        query = f"{sql.MESSAGES} ORDER BY seq LIMIT $6"
        found = await self._fetch(query, tenant, session_id, branch, after, before, limit)
        return [rows.message_of(row) for row in found]

    async def invocations(self, tenant: str, session_id: str, *, after: int, limit: int) -> list[Invocation]:
        found = await self._fetch(transfer_sql.INVOCATIONS, tenant, session_id, after, limit)
        return [rows.invocation_of(row) for row in found]

    async def turns(self, tenant: str, session_id: str, *, after: str, limit: int) -> list[StoredTurn]:
        return [rows.turn_of(row) for row in await self._fetch(transfer_sql.TURNS, tenant, session_id, after, limit)]

    async def undos(self, tenant: str, session_id: str, branch: int, *, last_seq: int) -> list[Undo]:
        found = await self._fetch(sql.UNDOS, tenant, session_id, branch, -1, last_seq)
        return [rows.undo_of(row) for row in found][::-1]

    async def restore(self, whole: Whole) -> None:
        session = whole.record.session
        async with self._connection() as connection, connection.transaction():
            first = await connection.fetchval(transfer_sql.FIRST_BRANCH, session.tenant, session.session_id)
            placed = shifted(whole, first)
            values = (*rows.fixed_values(placed.record), *rows.changing_values(placed.record))
            try:
                await connection.execute(sql.INSERT_SESSION, *values)
            except asyncpg.UniqueViolationError as error:
                raise SessionExists(session.session_id) from error
            own = placed.record.session
            await connection.execute(transfer_sql.BRANCHES_FROM, own.tenant, own.session_id, own.branch, first)
            inserted = rows_of(placed)
            await connection.executemany(transfer_sql.INSERT_MESSAGE, inserted.messages)
            await connection.executemany(transfer_sql.INSERT_INVOCATION, inserted.invocations)
            await connection.executemany(transfer_sql.INSERT_TURN, inserted.turns)
            await connection.executemany(transfer_sql.INSERT_UNDO, inserted.undos)
            await connection.executemany(sql.INSERT_LEFT, inserted.left)

    async def _fetch(self, query: str, *values: str | int) -> list[Any]:
        async with self._connection() as connection:
            found: list[Any] = await connection.fetch(query, *values)
            return found
