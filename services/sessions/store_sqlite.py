"""The sessions' store in one SQLite file: one writer thread with group commit, and readers beside it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bureau_contracts.sessions import Invocation, Message, Session
from kit.identity import Owner, Reach
from services.sessions import rows
from services.sessions import statements_sqlite as sql
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
from services.sessions.sqlite_database import SqliteDatabase
from services.sessions.store import Decide, T


class SqliteSessionStore:
    """Decisions run on the writer's thread, reads on a snapshot."""

    def __init__(self, path: Path, *, readers: int = 4) -> None:
        self.database = SqliteDatabase(path, readers=readers)
        """What else lives in the same file reads and writes through it."""
        self._records = self.database.records

    async def open(self) -> None:
        """Raises OSError or sqlite3.Error when the file cannot be used: there is nothing to wait for."""
        await self.database.open()

    async def close(self) -> None:
        await self.database.close()

    async def ping(self) -> str:
        await self.database.read(lambda connection: connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone())
        return f"sqlite {sqlite3.sqlite_version}"

    async def create(
        self, record: SessionRecord, *, shared: SharedState | None = None, receipt: Receipt | None = None
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            self._records.follow(connection)
            _insert(connection, record)
            _store_beside(connection, record.session, shared, receipt)
            self._wrote(connection, shared)

        await self.database.write(work)

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
        def work(connection: sqlite3.Connection) -> T:
            record = self._current(connection, reach, session_id)
            turn = None if turn_id is None else _turn(connection, reach, session_id, turn_id)
            left = _left(connection, record, branch)
            undos = [] if undos_from is None else _undos(connection, reach.tenant, shown_by(record, left), undos_from)
            made = _summary(connection, shown_by(record), reach.tenant) if summary else None
            kept = None if receipt is None else _receipt(connection, reach, session_id, receipt)
            answer, write = decide(Current(record, turn, undos, left, made, kept))
            if write is not None:
                size = _store(connection, record, write)
                self._records.keep(write.record, size)
                self._wrote(connection, write.shared)
            return answer

        return await self.database.write(work)

    async def purge(self, reach: Reach, session_id: str) -> None:
        def delete(connection: sqlite3.Connection) -> None:
            if not connection.execute(sql.DELETE_SESSION, _key(reach, session_id)).rowcount:
                raise SessionNotFound(session_id)

        await self.database.write(delete)

    async def get(self, reach: Reach, session_id: str) -> SessionRecord:
        return await self.database.read(lambda connection: _find(connection, reach, session_id))

    async def receipt(self, reach: Reach, session_id: str, name: str) -> Receipt | None:
        def work(connection: sqlite3.Connection) -> Receipt | None:
            _find(connection, reach, session_id)
            return _receipt(connection, reach, session_id, name)

        return await self.database.read(work)

    async def turn(self, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
        def work(connection: sqlite3.Connection) -> StoredTurn | None:
            _find(connection, reach, session_id)
            return _turn(connection, reach, session_id, turn_id)

        return await self.database.read(work)

    async def view(
        self, reach: Reach, session_id: str, *, messages: int, invocations: int
    ) -> tuple[SessionRecord, list[Message], list[Invocation]]:
        def work(connection: sqlite3.Connection) -> tuple[SessionRecord, list[Message], list[Invocation]]:
            record = _find(connection, reach, session_id)
            before = record.session.message_count + 1
            last = _messages(connection, reach, shown_by(record), after=0, before=before, limit=messages, newest=True)
            found = connection.execute(sql.LAST_INVOCATIONS, {**_key(reach, session_id), "limit": invocations})
            return record, last, [rows.invocation_of(row) for row in found][::-1]

        return await self.database.read(work)

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
        def work(connection: sqlite3.Connection) -> tuple[int, list[Message]]:
            record = _find(connection, reach, session_id)
            shown = shown_by(record, _left(connection, record, branch))
            return shown.message_count, _messages(
                connection, reach, shown, after=after, before=before, limit=limit, newest=newest
            )

        return await self.database.read(work)

    async def window(
        self, reach: Reach, session_id: str, *, limit: int
    ) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
        def work(connection: sqlite3.Connection) -> tuple[SessionRecord, StoredSummary | None, list[Message]]:
            record = _find(connection, reach, session_id)
            shown = shown_by(record)
            made = _summary(connection, shown, reach.tenant)
            after, before = made.place.last_seq if made else 0, shown.message_count + 1
            last = _messages(connection, reach, shown, after=after, before=before, limit=limit, newest=True)
            return record, made, last

        return await self.database.read(work)

    async def grown(
        self, tenant: str | None, *, active_since: datetime, characters: int, after: Grown | None, limit: int
    ) -> list[Grown]:
        asked = {
            "tenant": tenant,
            "since": sql.text_of(active_since),
            "characters": characters,
            "after_tenant": after.tenant if after else "",
            "after_session": after.session_id if after else "",
            "limit": limit,
        }
        return await self.database.read(
            lambda connection: [Grown(row["tenant"], row["session_id"]) for row in connection.execute(sql.GROWN, asked)]
        )

    async def branches(self, reach: Reach, session_id: str) -> tuple[SessionRecord, list[LeftBranch]]:
        def work(connection: sqlite3.Connection) -> tuple[SessionRecord, list[LeftBranch]]:
            record = _find(connection, reach, session_id)
            return record, [
                rows.left_of(row) for row in connection.execute(sql.LEFT, (record.session.tenant, session_id))
            ]

        return await self.database.read(work)

    async def page(self, reach: Reach, listing: Listing, *, after: Position | None, limit: int) -> list[Session]:
        query, values = sql.page_query(reach, listing, after, limit)
        return await self.database.read(
            lambda connection: [rows.session_of(row) for row in connection.execute(query, values)]
        )

    async def count(self, reach: Reach, listing: Listing, *, limit: int) -> int:
        query, values = sql.count_query(reach, listing, limit)
        found: int = await self.database.read(lambda connection: connection.execute(query, values).fetchone()[0])
        return found

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        return await self.database.read(
            lambda connection: [row["tenant"] for row in connection.execute(sql.TENANTS, (after, limit))]
        )

    async def drop_receipts(self, *, before: datetime, limit: int) -> int:
        values = (sql.text_of(before), limit)
        return await self.database.write(
            lambda connection: connection.execute(sql.DROP_RECEIPTS, values).rowcount, note=False
        )

    async def forget_shared_state(self, owner: Owner) -> bool:
        return await self.database.write(
            lambda connection: bool(connection.execute(sql.FORGET_SHARED_STATE, (owner.tenant, owner.user)).rowcount)
        )

    def _current(self, connection: sqlite3.Connection, reach: Reach, session_id: str) -> SessionRecord:
        """On the writer's thread: as it was written last, or read. Raises SessionNotFound."""
        self._records.follow(connection)
        record = self._records.find(reach.tenant, session_id)
        if record is None:
            row = _row(connection, reach, session_id)
            record = rows.record_of(row)
            self._records.keep(record, sum(len(row[column] or "") for column in rows.JSON_COLUMNS))
        elif reach.user not in (None, record.session.user_id):
            raise SessionNotFound(session_id)
        return record

    def _wrote(self, connection: sqlite3.Connection, shared: SharedState | None) -> None:
        self._records.wrote(connection)
        if shared is not None:
            self._records.forget_all()  # it is seen in other sessions too


def _row(connection: sqlite3.Connection, reach: Reach, session_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(sql.SESSION, _key(reach, session_id)).fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    return row


def _find(connection: sqlite3.Connection, reach: Reach, session_id: str) -> SessionRecord:
    return rows.record_of(_row(connection, reach, session_id))


def _turn(connection: sqlite3.Connection, reach: Reach, session_id: str, turn_id: str) -> StoredTurn | None:
    row = connection.execute(sql.TURN, {**_key(reach, session_id), "turn_id": turn_id}).fetchone()
    return None if row is None else rows.turn_of(row)


def _receipt(connection: sqlite3.Connection, reach: Reach, session_id: str, name: str) -> Receipt | None:
    row = connection.execute(sql.TURN, {**_key(reach, session_id), "turn_id": name}).fetchone()
    return None if row is None else rows.receipt_of(row)


def _left(connection: sqlite3.Connection, record: SessionRecord, branch: int | None) -> LeftBranch | None:
    """None for the branch that is written to. Raises BranchNotFound."""
    session = record.session
    if branch in (None, session.branch):
        return None
    for row in connection.execute(sql.LEFT, (session.tenant, session.session_id)):
        if row["branch"] == branch:
            return rows.left_of(row)
    raise BranchNotFound(branch or 0)


def _summary(connection: sqlite3.Connection, shown: Shown, tenant: str) -> StoredSummary | None:
    for segment in reversed(shown.segments()):
        place = (tenant, segment.session_id, segment.branch, segment.last_seq)
        if row := connection.execute(sql.SUMMARY, place).fetchone():
            return rows.summary_of(row)
    return None


def _undos(connection: sqlite3.Connection, tenant: str, shown: Shown, first: int) -> list[Undo]:
    after = min(first, shown.message_count) - 1
    return [
        rows.undo_of(row)
        for segment in reversed(shown.segments())
        for row in connection.execute(sql.UNDOS, (tenant, segment.session_id, segment.branch, after, segment.last_seq))
    ]


def _messages(
    connection: sqlite3.Connection, reach: Reach, shown: Shown, *, after: int, before: int, limit: int, newest: bool
) -> list[Message]:
    query = f"{sql.MESSAGES} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
    found = list[Message]()
    stretches = list(shown.stretches(after, before))
    for stretch in reversed(stretches) if newest else stretches:
        place = (reach.tenant, stretch.session_id, stretch.branch, stretch.after, stretch.before)
        found += [rows.message_of(row) for row in connection.execute(query, (*place, limit - len(found)))]
        if len(found) >= limit:
            break
    return found[::-1] if newest else found


def _insert(connection: sqlite3.Connection, record: SessionRecord) -> None:
    session = record.session
    first = connection.execute(sql.FIRST_BRANCH, (session.tenant, session.session_id)).fetchone()[0]
    if first:
        record = replace(record, session=session.model_copy(update={"branch": first}))
    try:
        connection.execute(
            sql.INSERT_SESSION, _bound((*rows.fixed_values(record), *rows.changing_values(record), first))
        )
    except sqlite3.IntegrityError as error:
        raise SessionExists(session.session_id) from error
    connection.executemany(sql.INSERT_SHOWN, rows.shown_values(record))
    if session.forked_from is not None:
        connection.execute(sql.INHERIT_AGENTS, (session.session_id, session.tenant, session.forked_from))


def _update(connection: sqlite3.Connection, before: SessionRecord, after: SessionRecord) -> int | None:
    """How large the session's JSON is, in characters; None when it is what it was."""
    place = (after.session.tenant, after.session.session_id)
    if rows.is_only_appended(before, after):
        connection.execute(sql.UPDATE_APPENDED, (*_timed(rows.appended_values(after), rows.APPENDED_TIMES), *place))
        return None
    values = _bound((*rows.changing_values(after), *place))
    connection.execute(sql.UPDATE_SESSION, values)
    return sum(len(value) for value in values if isinstance(value, str))


def _store(connection: sqlite3.Connection, before: SessionRecord, write: Write) -> int | None:
    """Answers as `_update` does."""
    session = write.record.session
    size = _update(connection, before, write.record)
    for message in write.messages:
        connection.execute(sql.INSERT_MESSAGE, _timed(rows.message_values(session, message), rows.MESSAGE_TIMES))
    first = write.record.invocation_count - len(write.invocations) + 1
    for number, each in enumerate(write.invocations, first):
        connection.execute(sql.INSERT_INVOCATION, _bound(rows.invocation_values(session, number, each)))
    if write.turn is not None:
        connection.execute(sql.INSERT_TURN, _bound(rows.turn_values(session, write.turn)))
    if write.undo is not None:
        connection.execute(sql.INSERT_UNDO, rows.undo_values(session, write.undo))
    if write.left is not None:
        connection.execute(sql.INSERT_LEFT, _bound(rows.left_values(session, write.left)))
    if write.created is not None:
        _insert(connection, write.created)
        if write.created_undo is not None:
            connection.execute(sql.INSERT_FIRST_UNDO, rows.first_undo_values(write.created.session, write.created_undo))
    if (gone := write.discarded) is not None:
        connection.execute(sql.DELETE_SUMMARY, (session.tenant, gone.session_id, gone.branch, gone.last_seq))
    if write.summary is not None:
        connection.execute(sql.INSERT_SUMMARY, _bound(rows.summary_values(session, write.summary)))
    _store_beside(connection, session, write.shared, write.receipt)
    return size


def _store_beside(
    connection: sqlite3.Connection, session: Session, shared: SharedState | None, receipt: Receipt | None
) -> None:
    if receipt is not None:
        connection.execute(sql.INSERT_TURN, _bound(rows.receipt_values(session, receipt)))
    for user, changes in rows.shared_changes(session, shared):
        row = connection.execute(sql.SHARED_STATE, (session.tenant, user)).fetchone()
        state = rows.merged_json(row["state"] if row else "{}", changes)
        connection.execute(sql.KEEP_SHARED_STATE, (session.tenant, user, state))


def _key(reach: Reach, session_id: str) -> dict[str, Any]:
    return {"tenant": reach.tenant, "user": reach.user, "session_id": session_id}


def _timed(values: rows.Values, times: Sequence[int]) -> list[Any]:
    """As `_bound`, for who knows where the times are."""
    bound: list[Any] = list(values)
    for place in times:
        bound[place] = sql.text_of(bound[place])
    return bound


def _bound(values: rows.Values) -> list[Any]:
    return [sql.text_of(value) if isinstance(value, datetime) else value for value in values]
