"""The index of messages in the sessions' SQLite file (FTS5), kept behind the writes: an append does not wait for it.

A message is noted when it is stored (a trigger) and indexed when the file is quiet, or when a search comes first. What
was purged is taken out of the index, and then scrubbed from the file: see `_scrub`.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from kit.errors import Unavailable
from kit.identity import Reach
from kit.logs import get_logger
from kit.tasks import background, every
from services.sessions import statements_search_sqlite as sql
from services.sessions.search import Candidates, session_tokens
from services.sessions.search_rows import Place, candidates_of, places_of
from services.sessions.sqlite_database import SqliteDatabase

log = get_logger(__name__)

BATCH = 250
"""Messages indexed in one transaction: some ten milliseconds of the writer's time."""
LOOK_SECONDS = 0.25
QUIET_SECONDS = 0.5
"""Nobody has written for so long: there is time to index."""
LAG_SECONDS = 5.0
"""When it never is quiet, one batch is indexed every so many seconds all the same."""
CATCH_UP_SECONDS = 1.0
"""How long a search works off what is not indexed yet before it answers without."""
MERGED_PAGES = 64


class SqliteMessageIndex:
    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._indexing = asyncio.Lock()
        self._last_batch = 0.0

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(background(every(LOOK_SECONDS, self._follow, name="search_index")))

    async def close(self) -> None:
        await self._stack.aclose()

    async def find(
        self, reach: Reach, tokens: Sequence[str], *, session_id: str | None, before: int | None, limit: int
    ) -> Candidates:
        behind = not await self._catch_up(time.monotonic() + CATCH_UP_SECONDS)

        def work(connection: sqlite3.Connection) -> Candidates:
            sessions: list[str] = []
            if session_id is not None:
                row = connection.execute(sql.LINEAGE, {"tenant": reach.tenant, "session_id": session_id}).fetchone()
                sessions = session_tokens(reach.tenant, session_id, row and row["lineage"])
            query, values = sql.find_query(reach, tokens, sessions, session_id, before, limit)
            return candidates_of(connection.execute(query, values).fetchall(), limit, behind=behind)

        return await self._database.read(work)

    async def _follow(self) -> None:
        """One look: indexes and scrubs when there is something to do and time for it."""
        quiet = time.monotonic() - self._database.written_at > QUIET_SECONDS
        if quiet or time.monotonic() - self._last_batch > LAG_SECONDS:
            self._last_batch = time.monotonic()
            try:
                done = await self._catch_up(time.monotonic() + (LOOK_SECONDS if quiet else 0))
                if done and quiet:
                    await self._scrub()
            except Unavailable:
                return  # said by the database; the next look tries again

    async def _catch_up(self, until: float) -> bool:
        """Works until all is indexed, or the time is over; at least one batch. False: more is waiting."""
        async with self._indexing:
            while True:
                waiting = await self._database.read(_waiting)
                if waiting:
                    await self._database.write(lambda connection: _index(connection, waiting), note=False)  # noqa: B023 - awaited at once
                if len(waiting) < BATCH:
                    return True
                if time.monotonic() > until:
                    return False

    async def _scrub(self) -> None:
        """Makes what was purged unreadable in the file's bytes too.

        Deleted rows are overwritten (secure_delete). An FTS5 index keeps the words of what is deleted until its parts
        are merged, and the -wal keeps what was written until it is folded into the file.
        """
        last = await self._database.read(_last_purge)
        if last is None:
            return
        while await self._database.write(_erase_words, note=False):
            pass
        await self._database.write(_begin_merge, note=False)
        while await self._database.write(_merge_on, note=False):
            pass
        if await self._database.fold_wal():
            await self._database.write(lambda connection: connection.execute(sql.PURGES_DONE, (last,)), note=False)
            log.info("purge_scrubbed")


def _waiting(connection: sqlite3.Connection) -> list[Place]:
    """The next messages to index, with what is indexed of them."""
    return places_of(connection.execute(sql.UNINDEXED, (BATCH,)).fetchall())


def _index(connection: sqlite3.Connection, waiting: Sequence[Place]) -> None:
    """What was purged since it was read is left out, also when another message has its place by now."""
    for place, message_id, tokens in waiting:
        if connection.execute(sql.IS_THERE, (place, message_id)).fetchone():
            connection.execute(sql.INDEX, (place, tokens))
            connection.execute(sql.INDEXED, (place,))
            connection.execute(sql.NOT_TO_ERASE, (place,))


def _last_purge(connection: sqlite3.Connection) -> int | None:
    last: int | None = connection.execute(sql.LAST_PURGE).fetchone()[0]
    return last


def _erase_words(connection: sqlite3.Connection) -> bool:
    """False: there was nothing left to erase."""
    gone = connection.execute(sql.UNERASED, (BATCH,)).fetchall()
    connection.executemany(sql.ERASE_WORDS, [(row["id"],) for row in gone])
    connection.executemany(sql.NOT_TO_ERASE, [(row["id"],) for row in gone])
    return bool(gone)


def _begin_merge(connection: sqlite3.Connection) -> None:
    connection.execute(sql.MERGE, (-MERGED_PAGES,))


def _merge_on(connection: sqlite3.Connection) -> bool:
    """False: all is one. FTS5's own way to say so is that it changed less than two rows."""
    before = connection.total_changes
    connection.execute(sql.MERGE, (MERGED_PAGES,))
    return connection.total_changes - before >= 2
