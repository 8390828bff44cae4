"""The sessions' SQLite file in use: one connection that writes, readers beside it, and its migrations."""

import asyncio
import queue
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from kit.errors import Unavailable
from kit.logs import get_logger
from services.sessions import sqlite_backup, sqlite_damage, sqlite_file
from services.sessions.group_commit import GroupCommitWriter
from services.sessions.sqlite_backup import Backup
from services.sessions.sqlite_records import WrittenRecords

log = get_logger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations" / "sqlite"

R = TypeVar("R")


class SqliteDatabase:
    """Every commit is synced (WAL, synchronous=FULL); writers that come together share the sync."""

    def __init__(self, path: Path, *, readers: int = 4) -> None:
        self._path, self._reader_count = path, readers
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._backing_up = asyncio.Lock()
        self.written_at = 0.0
        """When somebody wrote last, by the monotonic clock."""
        self.records = WrittenRecords()
        """For work on the writer's thread."""
        self._damage = ""
        """What SQLite said of the file since it was opened."""

    async def open(self) -> None:
        """Raises OSError or sqlite3.Error when the file cannot be used: there is nothing to wait for."""
        writing = await asyncio.to_thread(self._prepare)
        self._readers = ThreadPoolExecutor(self._reader_count, thread_name_prefix="sessions-reader")
        self._writer = GroupCommitWriter(writing, self.records)

    async def close(self) -> None:
        """Does what is waiting first."""
        await self._writer.close()
        await asyncio.to_thread(self._readers.shutdown)
        for _ in range(self._reader_count):
            self._idle.get_nowait().close()

    async def write(self, work: Callable[[sqlite3.Connection], R], *, note: bool = True) -> R:
        """Runs `work` in a transaction, on the writer's thread. What it returned from is on disk.

        `note` False: `written_at` does not say it; for upkeep, which waits until nobody else writes.

        Raises what `work` raises, and Unavailable when the file cannot be written just now; then nothing was.
        """
        if note:
            self.written_at = time.monotonic()
        try:
            return await self._writer.run(work)
        except sqlite3.DatabaseError as error:
            self._raise_unavailable(error)
            raise

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

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, on_snapshot)
        except sqlite3.DatabaseError as error:
            self._raise_unavailable(error)
            raise

    def condition(self) -> str:
        """What an operator has to do about the file, "" when nothing. Never opens it."""
        if self._damage:
            return f"the file is damaged ({self._damage}): restart to set it aside, then restore a copy"
        aside = [each.name for each in sqlite_damage.set_aside_before(self._path)]
        return f"damaged, set aside: {', '.join(aside)}. Restore or remove it" if aside else ""

    async def back_up(self) -> Backup:
        """A copy beside the file, as of one moment. Raises Unavailable when there is no room for it, or one is made."""
        if self._backing_up.locked():
            raise Unavailable("a copy is being made already", code="backup_running")
        async with self._backing_up:
            try:
                return await asyncio.to_thread(sqlite_backup.back_up, self._path)
            except sqlite3.DatabaseError as error:
                self._raise_unavailable(error)
                raise
            except OSError as error:
                raise Unavailable(f"no copy could be made: {error.strerror}", code="store_unavailable") from error

    async def fold_wal(self) -> bool:
        """Folds the -wal into the file and empties it. False when somebody reads or writes just now."""

        def fold() -> bool:
            with closing(sqlite_file.connect(self._path)) as connection:
                connection.execute("PRAGMA busy_timeout = 50")
                return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

        try:
            return await asyncio.to_thread(fold)
        except sqlite3.DatabaseError as error:
            self._raise_unavailable(error)
            raise

    def _prepare(self) -> sqlite3.Connection:
        """Opens all connections; returns the one that writes."""
        sqlite_file.create_folder(self._path)
        with sqlite_damage.one_at_a_time(self._path):
            self._look_for_damage()
            return self._connect()

    def _look_for_damage(self) -> None:
        if found := sqlite_damage.findings(self._path):
            aside = sqlite_damage.set_aside(self._path)
            log.error("database_damaged", path=str(self._path), found=found, set_aside=str(aside), now="empty")

    def _connect(self) -> sqlite3.Connection:
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

    def _raise_unavailable(self, error: sqlite3.DatabaseError) -> None:
        """If the file cannot be used just now: it is full, locked by another process, or failing."""
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
            return  # a mistake of ours, not of the file
        if sqlite_damage.says_damage(error):
            self._damage = str(error)
            log.error("database_damaged", path=str(self._path), found=str(error))
        else:
            log.warning("store_failed", error=repr(error))
        raise Unavailable(f"the sessions' file cannot be used: {error}", code="store_unavailable") from error
