"""Messages appended to sessions in Postgres, many sessions at once: who comes together shares a round trip and a sync.

Only what does nothing else to a session than append, made from the session as this process left it; `revision` tells
whether it still is so. Everything else is the store's.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg

from kit.errors import Unavailable
from kit.tasks import background
from services.sessions import rows
from services.sessions import statements_postgres as sql
from services.sessions.record import SessionRecord, Write

MAX_BATCH = 16
WORKERS = 2
"""While one's batch is being synced, another one's is sent."""
CLOSING_SECONDS = 5.0

KEPT = 1024
"""Sessions that are remembered; those that were changed last."""
LARGEST = 16_384
"""Characters of JSON in a session that is remembered. Memory has an end."""

_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Remembered:
    """A session as it was at a revision. What it shows of other sessions' state may be older than that."""

    record: SessionRecord
    revision: int


class RememberedSessions:
    """Each is taken out while a change is made from it, so that of those who come together only one hopes."""

    def __init__(self) -> None:
        self._sessions: dict[_Place, Remembered] = {}

    def take(self, tenant: str, user: str | None, session_id: str) -> Remembered | None:
        """None also when it is not that user's: what is so is for the database to say."""
        found = self._sessions.pop((tenant, session_id), None)
        return found if found and user in (None, found.record.session.user_id) else None

    def keep(self, record: SessionRecord, revision: int) -> None:
        if len(self._sessions) >= KEPT:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[record.session.tenant, record.session.session_id] = Remembered(record, revision)


def appends_only(before: SessionRecord, write: Write) -> bool:
    rest = (write.turn, write.undo, write.left, write.created, write.summary, write.discarded, write.receipt)
    return (
        bool(write.messages)
        and not write.invocations
        and write.shared is None
        and rest == (None,) * len(rest)
        and rows.is_only_appended(before, write.record)
    )


@dataclass(frozen=True, slots=True)
class _Append:
    place: _Place
    revision: int
    write: Write
    done: "asyncio.Future[int | None]"


class PostgresAppends:
    """What `append` returned a revision for is durable, and on its own whole or not there at all."""

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """`connection` is the store's: it raises Unavailable while the database is away."""
        self._connection = connection
        self._waiting: asyncio.Queue[_Append] = asyncio.Queue()
        self._under_way = set[_Place]()
        """A session must not be twice in a batch."""

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(background(*(self._work() for _ in range(WORKERS))))

    async def close(self) -> None:
        """Lets what is under way finish."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._waiting.join()
        except TimeoutError:
            pass  # whoever still waits is told so by the workers' end
        await self._stack.aclose()
        while not self._waiting.empty():
            _fail([self._waiting.get_nowait()], Unavailable("the store is closing", code="store_unavailable"))

    async def append(self, revision: int, write: Write) -> int | None:
        """The session's next revision; None when it is not at `revision` any more, or somebody else is changing it:
        then nothing was written."""
        place = (write.record.session.tenant, write.record.session.session_id)
        if place in self._under_way:
            return None
        self._under_way.add(place)
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(_Append(place, revision, write, done))
        return await done

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._append(batch)
            except Exception as error:  # noqa: BLE001 - the outermost layer: the error is its callers' to handle
                _fail(batch, error)
            finally:
                _fail(batch, Unavailable("the store is closing", code="store_unavailable"))
                for each in batch:
                    self._under_way.remove(each.place)
                    self._waiting.task_done()

    async def _append(self, batch: Sequence[_Append]) -> None:
        async with self._connection() as connection:
            try:
                written = await connection.fetch(sql.APPEND, *_columns(batch))
            except asyncpg.PostgresError as error:
                if len(batch) == 1 or not isinstance(
                    error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError
                ):
                    raise
                written = []  # one of them cannot be stored; each finds out for itself
        revisions = {(row["tenant"], row["session_id"]): row["revision"] for row in written}
        for each in batch:
            if not each.done.done():  # its caller was not cancelled
                each.done.set_result(revisions.get(each.place))


def _columns(batch: Iterable[_Append]) -> Iterable[Sequence[object]]:
    sessions, messages = [], []
    for each in batch:
        session = each.write.record.session
        updated_at, last_activity, message_count, _, version = rows.appended_values(each.write.record)
        sessions.append((*each.place, each.revision, updated_at, last_activity, message_count, version))
        messages += [rows.message_values(session, message) for message in each.write.messages]
    return *zip(*sessions, strict=True), *zip(*messages, strict=True)


def _fail(batch: Iterable[_Append], error: Exception) -> None:
    """Those that have no answer yet."""
    for each in batch:
        if not each.done.done():
            each.done.set_exception(error)
