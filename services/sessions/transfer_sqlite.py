"""Whole sessions out of and into the sessions' SQLite file."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bureau_contracts.sessions import Invocation, Message
from services.sessions import rows
from services.sessions import statements_sqlite as sql
from services.sessions import statements_transfer_sqlite as transfer_sql
from services.sessions.errors import SessionExists
from services.sessions.record import StoredTurn, Undo
from services.sessions.sqlite_database import SqliteDatabase
from services.sessions.transfer import Whole, shifted
from services.sessions.transfer_rows import rows_of


class SqliteSessionRows:
    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def messages(
        self, tenant: str, session_id: str, branch: int, *, after: int, before: int, limit: int
    ) -> list[Message]:
        query = f"{sql.MESSAGES} ORDER BY seq LIMIT ?"
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
        """One transaction: the writer's other callers wait for it."""

        def work(connection: sqlite3.Connection) -> None:
            session = whole.record.session
            first = connection.execute(sql.FIRST_BRANCH, (session.tenant, session.session_id)).fetchone()[0]
            record = shifted(whole, first).record
            values = (*rows.fixed_values(record), *rows.changing_values(record), first)
            try:
                connection.execute(sql.INSERT_SESSION, _bound(values))
            except sqlite3.IntegrityError as error:
                raise SessionExists(session.session_id) from error
            _insert(connection, shifted(whole, first))

        await self._database.write(work)

    async def _fetch(self, query: str, *values: str | int) -> list[sqlite3.Row]:
        return await self._database.read(lambda connection: connection.execute(query, values).fetchall())


def _insert(connection: sqlite3.Connection, whole: Whole) -> None:
    inserted = rows_of(whole)
    for statement, values in (
        (sql.INSERT_MESSAGE, inserted.messages),
        (sql.INSERT_INVOCATION, inserted.invocations),
        (sql.INSERT_TURN, inserted.turns),
        (sql.INSERT_UNDO, inserted.undos),
        (sql.INSERT_LEFT, inserted.left),
    ):
        connection.executemany(statement, map(_bound, values))


def _bound(values: Sequence[Any]) -> list[Any]:
    return [sql.text_of(value) if isinstance(value, datetime) else value for value in values]
