"""A Postgres that may be away: prepared when it is first reached, refused at once while it is known to be away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg

from kit.logs import get_logger
from kit.tasks import unbroken
from services.memory.store import InTheWay, StoreAway

log = get_logger(__name__)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

REMEMBERED_SECONDS = 1.0
"""How long nobody tries again after a failure: otherwise every call would wait to find out the same."""
GRACE_SECONDS = 0.2
"""What tidying up after a time-out may take, twice at most: a server that hangs would keep us for ever."""

# InternalClientError: a connection that got the server's farewell while it was idle cannot be used, and says so thus.
# Class 53 is a full disk or too many connections, 57 a server that starts or stops, 28 and 3D a wrong password or
# database, 25006 a replica. https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
)


class Database:
    """Connections with a time limit each. Every failure to reach the server is a StoreAway."""

    def __init__(
        self,
        open_pool: Callable[[], Awaitable[Pool]],
        prepare: Callable[[Pool], Awaitable[None]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_pool, self._prepare, self._now = open_pool, prepare, now
        self._pool: Pool | None = None
        self._unprepared: StoreAway | None = StoreAway("the memory's database was not reached yet")
        self._away_until = 0.0
        self._answered = 0.0

    async def prepare(self) -> None:
        """Prepares the database unless that is done; to be called again and again. Logs a database that is away."""
        if self._unprepared is None:
            return
        try:
            async with self._watched(self._now()):
                self._pool = self._pool or await self._open_pool()
                await self._prepare(self._pool)
        except StoreAway as reason:
            if str(reason) != str(self._unprepared):
                log.warning("store_not_prepared", reason=str(reason), cause=repr(reason.__cause__))
            self._unprepared = reason
        else:
            self._unprepared = None
            log.info("store_prepared")

    @asynccontextmanager
    async def connection(self, timeout_seconds: float) -> AsyncIterator[Connection]:
        """A connection; the whole block has so long. Raises StoreAway, at once while the server is known to be away."""
        if self._unprepared is not None or self._pool is None:
            raise self._unprepared or StoreAway("the memory's database was closed")
        began = self._now()
        if began < self._away_until:
            raise StoreAway("the memory's database is away")
        async with self._watched(began), asyncio.timeout(timeout_seconds):
            connection = await self._pool.acquire(timeout=timeout_seconds)
            # A statement that took too long is cancelled on the server, which is waited for: not for ever either.
            deadline = asyncio.get_running_loop().call_later(timeout_seconds + GRACE_SECONDS, _terminate, connection)
            patience = timeout_seconds
            try:
                yield connection
            except (asyncio.CancelledError, *_AWAY):
                patience = GRACE_SECONDS
                _terminate(connection, if_in_transaction=True)
                raise
            finally:
                deadline.cancel()
                # Not broken off, also when our time is over: asyncpg would leave a task behind that nobody asks.
                await unbroken(self._pool.release(connection, timeout=patience))

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(2):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def _watched(self, began: float) -> AsyncIterator[None]:
        try:
            yield
        except TimeoutError as error:
            # One slow statement is its caller's bad luck; a server that answered nobody meanwhile is away.
            if self._answered < began:
                self._remember(error)
            raise StoreAway("the memory's database did not answer in time") from error
        except _AWAY as error:
            self._remember(error)
            raise StoreAway("the memory's database is away") from error
        except asyncpg.TransactionRollbackError as error:
            raise InTheWay("another change was in the way") from error
        else:
            if self._away_until:
                self._away_until = 0.0
                log.info("store_back")
            self._answered = self._now()

    def _remember(self, error: Exception) -> None:
        if not self._away_until:
            log.warning("store_away", cause=repr(error))
        self._away_until = self._now() + REMEMBERED_SECONDS


def _terminate(connection: Connection, *, if_in_transaction: bool = False) -> None:
    """A transaction that is still open had its end broken off as well: what became of it is not worth asking."""
    with suppress(asyncpg.InterfaceError):  # the pool's name for one that asyncpg has terminated itself
        if not if_in_transaction or connection.is_in_transaction():
            connection.terminate()
