"""The sessions' SQLite file in use: one connection that writes, readers beside it, and its migrations."""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kit.errors import Unavailable
from kit.logs import get_logger
from services.sessions import sqlite_file
from services.sessions.group_commit import GroupCommitWriter

log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations" / "sqlite"

R = TypeVar("R")


class SqliteDatabase:
    """Every commit is synced (WAL, synchronous=FULL); writers that come together share the sync."""

    def __init__(self, path: Path, *, readers: int = 4) -> None:
        self._path, self._reader_count = path, readers
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()

    async def open(self) -> None:
        """Raises OSError or sqlite3.Error when the file cannot be used: there is nothing to wait for."""
        writing = await asyncio.to_thread(self._prepare)
        self._readers = ThreadPoolExecutor(self._reader_count, thread_name_prefix="sessions-reader")
        self._writer = GroupCommitWriter(writing)

    async def close(self) -> None:
        """Does what is waiting first."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for _ in range(self._reader_count):
            self._idle.get_nowait().close()

    async def write(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Runs `work` in a transaction, on the writer's thread. What it returned from is on disk.

        Raises what `work` raises, and Unavailable when the file cannot be written just now; then nothing was.
        """
        with _translated():
            return await self._writer.run(work)

    async def read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Runs `work` on one snapshot. There are as many connections as threads, so a thread finds one at once."""

        def on_snapshot() -> R:
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
            return await asyncio.get_running_loop().run_in_executor(self._readers, on_snapshot)

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
