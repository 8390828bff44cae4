"""The sessions' store in one SQLite file: one writer thread with group commit, and readers beside it."""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from bureau_contracts.sessions import Invocation, Lifecycle, Message, Session, SessionStatus
from kit.errors import Unavailable
from kit.identity import Reach
from kit.logs import get_logger
from services.sessions import rows, sqlite_file
from services.sessions import statements_sqlite as sql
from services.sessions.errors import SessionExists, SessionNotFound
from services.sessions.group_commit import GroupCommitWriter
from services.sessions.record import Current, Position, SessionRecord, StoredTurn, Write
from services.sessions.store import Decide, T

log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations" / "sqlite"

R = TypeVar("R")


class SqliteSessionStore:
    """Every commit is synced (WAL, synchronous=FULL); callers that come together share the sync."""

    def __init__(self, path: Path, *, readers: int = 4) -> None:
        self._path, self._reader_count = path, readers
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()

    async def open(self) -> None:
        """Raises OSError or sqlite3.Error when the file cannot be used: there is nothing to wait for."""
        writing = await asyncio.to_thread(self._prepare)
        self._readers = ThreadPoolExecutor(self._reader_count, thread_name_prefix="sessions-reader")
        self._writer = GroupCommitWriter(writing)

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for _ in range(self._reader_count):
            self._idle.get_nowait().close()

    async def ping(self) -> str:
        await self._read(lambda connection: connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone())
        return f"sqlite {sqlite3.sqlite_version}"

    async def create(self, record: SessionRecord) -> None:
        values = _bound((*rows.fixed_values(record), *rows.changing_values(record)))

        def insert(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(sql.INSERT_SESSION, values)
            except sqlite3.IntegrityError as error:
                raise SessionExists(record.session.session_id) from error

        await self._write(insert)

    async def change(self, reach: Reach, session_id: str, decide: Decide[T], *, turn_id: str | None = None) -> T:
        def work(connection: sqlite3.Connection) -> T:
            record = _find(connection, reach, session_id)
            turn = None if turn_id is None else _turn(connection, reach, session_id, turn_id)
            answer, write = decide(Current(record, turn))
            if write is not None:
                _store(connection, write)
            return answer

        return await self._write(work)

    async def purge(self, reach: Reach, session_id: str) -> None:
        def delete(connection: sqlite3.Connection) -> None:
            if not connection.execute(sql.DELETE_SESSION, _key(reach, session_id)).rowcount:
                raise SessionNotFound(session_id)

        await self._write(delete)

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return await self._read(lambda connection: _find(connection, reach, session_id))

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        def work(connection: sqlite3.Connection) -> StoredTurn | None:
            _find(connection, reach, session_id)
            return _turn(connection, reach, session_id, turn_id)

        return await self._read(work)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        def work(connection: sqlite3.Connection) -> tuple[SessionRecord, list[Message], list[Invocation]]:
            record = _find(connection, reach, session_id)
            before = record.session.message_count + 1
            last = _messages(connection, reach, session_id, after=0, before=before, limit=messages, newest=True)
            found = connection.execute(sql.LAST_INVOCATIONS, {**_key(reach, session_id), "limit": invocations})
            return record, last, [rows.invocation_of(row) for row in found][::-1]

        return await self._read(work)

    async def history(
        self, reach: Reach, session_id: str, *, after: int, before: int, limit: int, newest: bool
    ) -> tuple[int, list[Message]]:
        def work(connection: sqlite3.Connection) -> tuple[int, list[Message]]:
            count = _find(connection, reach, session_id).session.message_count
            return count, _messages(
                connection, reach, session_id, after=after, before=before, limit=limit, newest=newest
            )

        return await self._read(work)

    async def page(
        self,
        reach: Reach,
        *,
        lifecycle: Lifecycle,
        status: SessionStatus | None,
        after: Position | None,
        limit: int,
    ) -> list[Session]:
        query, values = sql.page_query(reach, lifecycle, status, after, limit)
        return await self._read(lambda connection: [rows.session_of(row) for row in connection.execute(query, values)])

    def _prepare(self) -> sqlite3.Connection:
        """Opens all connections; returns the one that writes."""
        sqlite_file.create_file(self._path)
        writing = sqlite_file.connect(self._path)
        try:
            for name in sqlite_file.migrate(writing, MIGRATIONS):
                log.info("migration_applied", name=name)
            for _ in range(self._reader_count):
                self._idle.put(sqlite_file.connect(self._path, read_only=True))
        except BaseException:
            writing.close()
            raise
        return writing

    async def _write(self, work: Callable[[sqlite3.Connection], R]) -> R:
        with _translated():
            return await self._writer.run(work)

    async def _read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Runs `work` on one snapshot. There are as many connections as threads, so a thread finds one at once."""

        def read() -> R:
            connection = self._idle.get_nowait()
            try:
                connection.execute("BEGIN")
                try:
                    return work(connection)
                finally:
                    connection.execute("ROLLBACK")
            finally:
                self._idle.put(connection)

        with _translated():
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)


def _find(connection: sqlite3.Connection, reach: Reach, session_id: str) -> SessionRecord:
    row = connection.execute(sql.SESSION, _key(reach, session_id)).fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    return rows.record_of(row)


def _turn(connection: sqlite3.Connection, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
    row = connection.execute(sql.TURN, {**_key(reach, session_id), "turn_id": turn_id}).fetchone()
    return None if row is None else rows.turn_of(row)


def _messages(
    connection: sqlite3.Connection, reach: Reach, session_id: str, *, after: int, before: int, limit: int, newest: bool
) -> list[Message]:
    query = f"{sql.MESSAGES} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT :limit"
    values = {**_key(reach, session_id), "after": after, "before": before, "limit": limit}
    found = [rows.message_of(row) for row in connection.execute(query, values)]
    return found[::-1] if newest else found


def _store(connection: sqlite3.Connection, write: Write) -> None:
    session = write.record.session
    connection.execute(
        sql.UPDATE_SESSION, _bound((*rows.changing_values(write.record), session.tenant, session.session_id))
    )
    connection.executemany(
        sql.INSERT_MESSAGE, [_bound(rows.message_values(session, message)) for message in write.messages]
    )
    first = write.record.invocation_count - len(write.invocations) + 1
    connection.executemany(
        sql.INSERT_INVOCATION,
        [_bound(rows.invocation_values(session, number, each)) for number, each in enumerate(write.invocations, first)],
    )
    if write.turn is not None:
        connection.execute(sql.INSERT_TURN, _bound(rows.turn_values(session, write.turn)))


def _key(reach: Reach, session_id: str) -> dict[str, Any]:
    return {"tenant": reach.tenant, "user": reach.user, "session_id": session_id}


def _bound(values: rows.Values) -> list[Any]:
    return [sql.text_of(value) if isinstance(value, datetime) else value for value in values]


@contextmanager
def _translated() -> Iterator[None]:
    """A file that cannot be used just now (full, locked by another process, failing) is Unavailable."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
            raise  # a mistake of ours, not of the file
        log.warning("store_failed", error=repr(error))
        raise Unavailable(f"the sessions' file cannot be used: {error}", code="store_unavailable") from error
