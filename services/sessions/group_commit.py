"""One SQLite connection that writes, on one thread: whatever waits is committed together, so callers share a sync.

Knows no table. A piece of work that fails takes nothing of the others with it; so it may run more than once.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kit.errors import Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MAX_BATCH = 512
MAX_WAITING = 10_000
"""A writer that is so far behind refuses: its callers have long given up, and memory has an end."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    future: "asyncio.Future[Any]"


_Outcome = tuple["asyncio.Future[Any]", Any, Exception | None]


class Watcher(Protocol):
    """Is told on the writer's thread what becomes of its transactions."""

    def begun(self, connection: sqlite3.Connection) -> None:
        """The connection may write: nobody else can until it is over."""

    def undone(self) -> None:
        """Something that was written is not in the file, though its work may have ended well."""


class GroupCommitWriter:
    """Belongs to the event loop that made it, and owns the connection. What `run` returned is on disk."""

    def __init__(self, connection: sqlite3.Connection, watcher: Watcher | None = None) -> None:
        self._connection, self._watcher = connection, watcher or _Nobody()
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="sessions-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Raises what `work` raises, sqlite3.Error when the transaction failed, Unavailable when too many wait.

        A caller that is cancelled while it waits does not know whether its work was done.
        """
        if self._jobs.qsize() >= MAX_WAITING:
            raise Unavailable("too many writes are waiting", code="store_busy")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def close(self) -> None:
        """Does what is waiting, then ends the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._take()
            if batch:
                outcomes = _commit_together(self._connection, batch, self._watcher)
                self._loop.call_soon_threadsafe(_answer, outcomes)
        self._connection.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Waits for a job, then takes with it whatever else is there. False: the end was asked for."""
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False


class _Nobody:
    def begun(self, connection: sqlite3.Connection) -> None:
        pass

    def undone(self) -> None:
        pass


class _HalfDone(Exception):
    """A piece of work failed after it had written something."""


def _commit_together(connection: sqlite3.Connection, batch: list[_Job], watcher: Watcher) -> list[_Outcome]:
    """Hopes first that nothing fails half done, which is rare; only then each piece of work needs a savepoint."""
    try:
        try:
            return _commit(connection, batch, _do_without_savepoint, watcher)
        except _HalfDone:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            watcher.undone()
            return _commit(connection, batch, _do, watcher)
    except sqlite3.Error as error:
        watcher.undone()
        if connection.in_transaction:
            # Should even this fail, the next batch fails at its BEGIN and tries again.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        return [(job.future, None, error) for job in batch]


_Do = Callable[[sqlite3.Connection, _Job, Watcher], _Outcome]


def _commit(connection: sqlite3.Connection, batch: list[_Job], do: _Do, watcher: Watcher) -> list[_Outcome]:
    connection.execute("BEGIN IMMEDIATE")
    watcher.begun(connection)
    outcomes = [do(connection, job, watcher) for job in batch]
    connection.execute("COMMIT")
    return outcomes


def _do_without_savepoint(connection: sqlite3.Connection, job: _Job, _: Watcher) -> _Outcome:
    """Raises _HalfDone when the batch has to be done again."""
    written = connection.total_changes
    try:
        return job.future, job.work(connection), None
    except Exception as error:
        if not connection.in_transaction or connection.total_changes != written:
            raise _HalfDone from error
        return job.future, None, error


def _do(connection: sqlite3.Connection, job: _Job, watcher: Watcher) -> _Outcome:
    """Raises sqlite3.Error when the transaction as a whole is lost."""
    connection.execute("SAVEPOINT job")
    try:
        outcome: _Outcome = (job.future, job.work(connection), None)
    except Exception as error:  # the thread's outermost layer: the error is its caller's to handle
        if not connection.in_transaction:  # SQLite ends a transaction by itself when the disk is full or fails
            raise sqlite3.OperationalError(str(error)) from error
        connection.execute("ROLLBACK TO job")
        watcher.undone()
        outcome = (job.future, None, error)
    connection.execute("RELEASE job")
    return outcome


def _answer(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
