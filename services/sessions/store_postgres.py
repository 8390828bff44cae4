"""The sessions' store in Postgres, schema `sessions`: any number of replicas may share it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, cast

import asyncpg

from bureau_contracts.sessions import Invocation, Message, Session
from kit import postgres
from kit.errors import Refusal, Unavailable
from kit.identity import Owner, Reach
from kit.logs import get_logger
from services.sessions import rows
from services.sessions import statements_postgres as sql
from services.sessions.appends_postgres import LARGEST, PostgresAppends, Remembered, RememberedSessions, appends_only
from services.sessions.branches import Shown, shown_by
from services.sessions.errors import BranchNotFound, SessionExists, SessionNotFound
from services.sessions.record import (
    Current,
    Grown,
    LeftBranch,
    Listing,
    Position,
    Receipt,
    SessionRecord,
    SharedState,
    StoredSummary,
    StoredTurn,
    Undo,
    Write,
)
from services.sessions.store import Decide, T

log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations" / "postgres"
CONNECTION_SECONDS = 5.0
"""How long a request waits for a connection before it is told to come back."""
COMMAND_SECONDS = 10.0
"""How long one statement may take, waiting for a lock included."""
HOPEFUL_TRIES = 2

_AWAY = (
    OSError,  # refused, reset, timed out
    asyncpg.InterfaceError,  # the connection was cut, or the pool is closing
    asyncpg.InternalClientError,  # a connection that was cut while nobody used it
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is stopping or starting, or cancelled the statement
    asyncpg.InsufficientResourcesError,  # full disk, too many connections
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

Connection = Any
"""asyncpg, which brings no types, hands out a proxy of its connection."""


class PostgresSessionStore:
    """Starts while the database is away; migrates when it first answers."""

    def __init__(self, url: str, *, connections: int = 10, statement_cache_size: int = 100) -> None:
        self._url, self._connections, self._cache = url, connections, statement_cache_size
        self._migrated = False
        self._migrating = asyncio.Lock()
        self._remembered = RememberedSessions()

    async def open(self) -> None:
        self._pool = await postgres.open_pool(
            self._url,
            max_size=self._connections,
            command_timeout_seconds=COMMAND_SECONDS,
            statement_cache_size=self._cache,
            reset_on_release=False,
        )
        self._appends = PostgresAppends(self.connection)
        await self._appends.open()
        try:
            await self.ping()
        except Unavailable:
            log.warning("store_away_at_start")

    async def close(self) -> None:
        await self._appends.close()
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def ping(self) -> str:
        async with self.connection() as connection:
            return f"postgres {await connection.fetchval('SHOW server_version')}"

    async def create(
        self, record: SessionRecord, *, shared: SharedState | None = None, receipt: Receipt | None = None
    ) -> None:
        async with self.connection() as connection:
            if shared is None and receipt is None:
                await _insert(connection, record)
                return
            async with connection.transaction():
                await _insert(connection, record)
                if receipt is not None:
                    await connection.execute(sql.INSERT_TURN, *rows.receipt_values(record.session, receipt))
                await _merge_shared(connection, record.session, shared)

    async def change(
        self,
        reach: Reach,
        session_id: str,
        decide: Decide[T],
        *,
        turn_id: str | None = None,
        receipt: str | None = None,
        branch: int | None = None,
        undos_from: int | None = None,
        summary: bool = False,
    ) -> T:
        """Hopes first that nobody else changed the session since this process did, which is one round trip for what
        only appends; then that nobody does meanwhile, which is two; else locks its row."""
        asked = _Asked(reach, session_id, turn_id, receipt, branch, undos_from, summary)
        kept = self._remembered.take(reach.tenant, reach.user, session_id)
        if kept is not None and asked == _Asked(reach, session_id):
            done, answer = await self._append(kept, decide)
            if done:
                return cast(T, answer)
        async with self.connection() as connection:
            tried = await _try_often(connection, asked, decide)
        if tried.appended is not None:
            self._remembered.keep(*tried.appended)
        return tried.answer

    async def _append(self, kept: Remembered, decide: Decide[T]) -> tuple[bool, T | None]:
        """False when the decision is to be made from what is in the database: nothing was written."""
        try:
            answer, write = decide(Current(kept.record))
        except Refusal:
            return False, None  # it may be out of date
        if write is None or not appends_only(kept.record, write):
            return False, None
        revision = await self._appends.append(kept.revision, write)
        if revision is None:
            return False, None
        self._remembered.keep(write.record, revision)
        return True, answer

    async def purge(self, reach: Reach, session_id: str) -> None:
        self._remembered.take(reach.tenant, reach.user, session_id)
        async with self.connection() as connection:
            if await connection.fetchval(sql.DELETE_SESSION, reach.tenant, session_id, reach.user) is None:
                raise SessionNotFound(session_id)

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        async with self.connection() as connection:
            return await _find(connection, reach, session_id)

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None:
        async with self._snapshot() as connection:
            await _find(connection, reach, session_id)
            return await _receipt(connection, reach, session_id, name)

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        async with self._snapshot() as connection:
            await _find(connection, reach, session_id)
            return await _turn(connection, reach, session_id, turn_id)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        async with self._snapshot() as connection:
            record = await _find(connection, reach, session_id)
            before, shown = record.session.message_count + 1, shown_by(record)
            last = await _messages(connection, reach, shown, after=0, before=before, limit=messages, newest=True)
            found = await connection.fetch(sql.LAST_INVOCATIONS, reach.tenant, session_id, invocations)
            return record, last, [rows.invocation_of(row) for row in found][::-1]

    async def history(
        self,
        reach: Reach,
        session_id: str,
        *,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        branch: int | None = None,
    ) -> tuple[int, list[Message]]:
        async with self._snapshot() as connection:
            record = await _find(connection, reach, session_id)
            shown = shown_by(record, await _left(connection, record, branch))
            return shown.message_count, await _messages(
                connection, reach, shown, after=after, before=before, limit=limit, newest=newest
            )

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        async with self._snapshot() as connection:
            record = await _find(connection, reach, session_id)
            shown = shown_by(record)
            made = await _summary(connection, shown, reach.tenant)
            after, before = made.place.last_seq if made else 0, shown.message_count + 1
            last = await _messages(connection, reach, shown, after=after, before=before, limit=limit, newest=True)
            return record, made, last

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        behind = (after.tenant, after.session_id) if after else ("", "")
        async with self.connection() as connection:
            found = await connection.fetch(sql.GROWN, tenant, active_since, characters, *behind, limit)
            return [Grown(row["tenant"], row["session_id"]) for row in found]

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        async with self._snapshot() as connection:
            record = await _find(connection, reach, session_id)
            return record, [rows.left_of(row) for row in await connection.fetch(sql.LEFT, reach.tenant, session_id)]

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        query, values = sql.page_query(reach, listing, after, limit)
        async with self.connection() as connection:
            return [rows.session_of(row) for row in await connection.fetch(query, *values)]

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        query, values = sql.count_query(reach, listing, limit)
        async with self.connection() as connection:
            found: int = await connection.fetchval(query, *values)
            return found

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        async with self.connection() as connection:
            return [row["tenant"] for row in await connection.fetch(sql.TENANTS, after, limit)]

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        async with self.connection() as connection:
            dropped: int = await connection.fetchval(sql.DROP_RECEIPTS, before, limit)
            return dropped

    async def forget_shared_state(self, owner: Owner) -> bool:
        async with self.connection() as connection:
            found = await connection.fetchval(sql.FORGET_SHARED_STATE, owner.tenant, owner.user)
            return found is not None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises Unavailable for whatever says that the database is away, at any point of the block."""
        try:
            await self._migrate()
            async with self._pool.acquire(timeout=CONNECTION_SECONDS) as connection:
                try:
                    yield connection
                except TimeoutError:
                    raise  # asyncpg cancels the statement before it hands the connection to anybody else
                except _AWAY:
                    connection.terminate()  # nobody should be handed one that failed
                    raise
        except _AWAY as error:
            log.warning("store_failed", error=repr(error))
            raise Unavailable("the sessions' database is away", code="store_unavailable") from error

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def _migrate(self) -> None:
        if self._migrated:
            return
        # Waiting for one's turn has an end; a migration may take as long as it takes.
        async with asyncio.timeout(CONNECTION_SECONDS):
            await self._migrating.acquire()
        try:
            if not self._migrated:
                for name in await postgres.migrate(self._pool, "sessions", MIGRATIONS):
                    log.info("migration_applied", name=name)
                self._migrated = True
        finally:
            self._migrating.release()


@dataclass(frozen=True, slots=True)
class _Asked:
    reach: Reach
    session_id: str
    turn_id: str | None = None
    receipt: str | None = None
    branch: int | None = None
    undos_from: int | None = None
    summary: bool = False


@dataclass(frozen=True, slots=True)
class _Tried(Generic[T]):
    answer: T
    done: bool
    """False when the session was changed since it was read; then nothing was written."""
    appended: tuple[SessionRecord, int] | None = None
    """The session afterwards and its revision, when it is worth remembering."""


async def _try_often(connection: Connection, asked: _Asked, decide: Decide[T]) -> _Tried[T]:
    for _ in range(HOPEFUL_TRIES):
        tried = await _try(connection, sql.SESSION, asked, decide)
        if tried.done:
            return tried
    async with connection.transaction():
        return await _try(connection, sql.LOCK_SESSION, asked, decide)


async def _try(connection: Connection, select: str, asked: _Asked, decide: Decide[T]) -> _Tried[T]:
    """Reads, decides, writes."""
    reach, session_id = asked.reach, asked.session_id
    row = await _row(connection, select, reach, session_id)
    record = rows.record_of(row)
    turn = None if asked.turn_id is None else await _turn(connection, reach, session_id, asked.turn_id)
    left = await _left(connection, record, asked.branch)
    undos = await _undos(connection, reach.tenant, shown_by(record, left), asked.undos_from)
    made = await _summary(connection, shown_by(record), reach.tenant) if asked.summary else None
    kept = None if asked.receipt is None else await _receipt(connection, reach, session_id, asked.receipt)
    answer, write = decide(Current(record, turn, undos, left, made, kept))
    if write is None:
        return _Tried(answer, True)
    revision = await _write(connection, row["revision"], write)
    if revision is None:
        return _Tried(answer, False)
    small = sum(len(row[column] or "") for column in rows.JSON_COLUMNS) <= LARGEST
    worth = small and appends_only(record, write)
    return _Tried(answer, True, (write.record, revision) if worth else None)


async def _row(connection: Connection, select: str, reach: Reach, session_id: str) -> rows.Row:
    row: rows.Row | None = await connection.fetchrow(select, reach.tenant, session_id, reach.user)
    if row is None:
        raise SessionNotFound(session_id)
    return row


async def _find(connection: Connection, reach: Reach, session_id: str) -> SessionRecord:
    return rows.record_of(await _row(connection, sql.SESSION, reach, session_id))


async def _turn(connection: Connection, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
    row = await connection.fetchrow(sql.TURN, reach.tenant, session_id, turn_id)
    return None if row is None else rows.turn_of(row)


async def _receipt(connection: Connection, reach: Reach, session_id: str, name: str) -> Receipt | None:
    row = await connection.fetchrow(sql.TURN, reach.tenant, session_id, name)
    return None if row is None else rows.receipt_of(row)


async def _merge_shared(connection: Connection, session: Session, shared: SharedState | None) -> None:
    """Within a transaction."""
    for user, changes in rows.shared_changes(session, shared):
        state = await connection.fetchval(sql.LOCK_SHARED_STATE, session.tenant, user)
        merged = rows.merged_json(state, changes)
        await connection.execute(sql.KEEP_SHARED_STATE, session.tenant, user, merged)


async def _left(connection: Connection, record: SessionRecord, branch: int | None) -> LeftBranch | None:
    """None for the branch that is written to. Raises BranchNotFound."""
    session = record.session
    if branch in (None, session.branch):
        return None
    for row in await connection.fetch(sql.LEFT, session.tenant, session.session_id):
        if row["branch"] == branch:
            return rows.left_of(row)
    raise BranchNotFound(branch or 0)


async def _summary(connection: Connection, shown: Shown, tenant: str) -> StoredSummary | None:
    for segment in reversed(shown.segments()):
        place = (tenant, segment.session_id, segment.branch, segment.last_seq)
        if row := await connection.fetchrow(sql.SUMMARY, *place):
            return rows.summary_of(row)
    return None


async def _undos(connection: Connection, tenant: str, shown: Shown, first: int | None) -> list[Undo]:
    if first is None:
        return []
    after = min(first, shown.message_count) - 1
    found = list[Undo]()
    for segment in reversed(shown.segments()):
        place = (tenant, segment.session_id, segment.branch, after, segment.last_seq)
        found += [rows.undo_of(row) for row in await connection.fetch(sql.UNDOS, *place)]
    return found


async def _messages(
    connection: Connection, reach: Reach, shown: Shown, *, after: int, before: int, limit: int, newest: bool
) -> list[Message]:
    query = f"{sql.MESSAGES} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT $6"
    found = list[Message]()
    stretches = list(shown.stretches(after, before))
    for stretch in reversed(stretches) if newest else stretches:
        place = (reach.tenant, stretch.session_id, stretch.branch, stretch.after, stretch.before)
        found += [rows.message_of(row) for row in await connection.fetch(query, *place, limit - len(found))]
        if len(found) >= limit:
            break
    return found[::-1] if newest else found


async def _insert(connection: Connection, record: SessionRecord) -> None:
    """Raises SessionExists. A fork is inserted within a transaction, as it is several statements."""
    session = record.session
    *values, branch, lineage = (*rows.fixed_values(record), *rows.changing_values(record))
    try:
        await connection.execute(sql.INSERT_SESSION, *values, branch, lineage)
    except asyncpg.UniqueViolationError as error:
        raise SessionExists(session.session_id) from error
    if session.forked_from is not None:
        await connection.executemany(sql.INSERT_SHOWN, rows.shown_values(record))
        await connection.execute(sql.INHERIT_AGENTS, session.session_id, session.tenant, session.forked_from)


async def _write(connection: Connection, revision: int, write: Write) -> int | None:
    """The session's next revision; None when it is not at that one any more, then nothing was written.

    Also None when there is more to write than one statement holds, unless in a transaction: that is rare.
    """
    more = any(each is not None for each in (write.left, write.created, write.summary, write.discarded, write.shared))
    if more and not connection.is_in_transaction():
        return None
    session = write.record.session
    first = write.record.invocation_count - len(write.invocations) + 1
    messages = [rows.message_values(session, message) for message in write.messages]
    invocations = [
        rows.invocation_values(session, number, each) for number, each in enumerate(write.invocations, first)
    ]
    turns = [rows.turn_values(session, write.turn)] if write.turn else []
    turns += [rows.receipt_values(session, write.receipt)] if write.receipt else []
    undos = [rows.undo_values(session, write.undo)] if write.undo else []
    written: int | None = await connection.fetchval(
        sql.WRITE,
        *rows.changing_values(write.record),
        session.tenant,
        session.session_id,
        revision,
        *_columns(messages, sql.MESSAGE_COLUMNS),
        *_columns(invocations, sql.INVOCATION_COLUMNS),
        *_columns(turns, sql.TURN_COLUMNS),
        *_columns(undos, sql.UNDO_COLUMNS),
    )
    if written and write.left is not None:
        await connection.execute(sql.INSERT_LEFT, *rows.left_values(session, write.left))
    if written and write.created is not None:
        await _insert(connection, write.created)
        if write.created_undo is not None:
            values = rows.first_undo_values(write.created.session, write.created_undo)
            await connection.execute(sql.INSERT_FIRST_UNDO, *values)
    if written and (gone := write.discarded) is not None:
        place = (session.tenant, gone.session_id, gone.branch, gone.last_seq)
        await connection.execute(sql.DELETE_SUMMARY, *place)
    if written and write.summary is not None:
        await connection.execute(sql.INSERT_SUMMARY, *rows.summary_values(session, write.summary))
    if written:
        await _merge_shared(connection, session, write.shared)
    return written


def _columns(values: Sequence[rows.Values], count: int) -> Iterable[Sequence[object]]:
    return zip(*values, strict=True) if values else [()] * count
