"""The index of messages in Postgres (tsvector, GIN). A message waits in it without words until somebody indexes it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from kit.errors import Unavailable
from kit.identity import Reach
from kit.tasks import background, every
from services.sessions import statements_search_postgres as sql
from services.sessions.search import Candidates, session_tokens
from services.sessions.search_rows import candidates_of, places_of

BATCH = 250
LOOK_SECONDS = 1.0
CATCH_UP_SECONDS = 1.0
"""How long a search works off what is not indexed yet before it answers without."""


class PostgresMessageIndex:
    """Replicas share the work: each takes messages that no other one has taken."""

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """`connection` is the store's: it raises Unavailable while the database is away."""
        self._connection = connection

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(background(every(LOOK_SECONDS, self._follow, name="search_index")))

    async def close(self) -> None:
        await self._stack.aclose()

    async def find(
        self, reach: Reach, tokens: Sequence[str], *, session_id: str | None, before: int | None, limit: int
    ) -> Candidates:
        behind = not await self._catch_up(time.monotonic() + CATCH_UP_SECONDS)
        async with self._connection() as connection:
            sessions: list[str] = []
            if session_id is not None:
                lineage = await connection.fetchval(sql.LINEAGE, reach.tenant, session_id)
                sessions = session_tokens(reach.tenant, session_id, lineage)
            query, values = sql.find_query(reach, tokens, sessions, session_id, before, limit)
            return candidates_of(await connection.fetch(query, *values), limit, behind=behind)

    async def _follow(self) -> None:
        try:
            await self._catch_up(time.monotonic() + LOOK_SECONDS)
        except Unavailable:
            return  # said by the store; the next look tries again

    async def _catch_up(self, until: float) -> bool:
        """Works until all is indexed, or the time is over; at least one batch. False: more is waiting."""
        while True:
            if not await self._index_some():
                async with self._connection() as connection:
                    if not await connection.fetchval(sql.ARE_WAITING):
                        return True
                await asyncio.sleep(0.01)  # another one is indexing them
            if time.monotonic() > until:
                return False

    async def _index_some(self) -> int:
        """How many messages were indexed."""
        async with self._connection() as connection, connection.transaction():
            taken = await connection.fetch(sql.UNINDEXED, BATCH)
            if taken:
                # Splitting into words is work for the processor: others' requests go on meanwhile.
                places = await asyncio.to_thread(places_of, taken)
                ids, _, words = zip(*places, strict=True)
                await connection.execute(sql.INDEX, ids, words)
            return len(taken)
