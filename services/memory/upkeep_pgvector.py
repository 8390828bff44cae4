"""The upkeep of vectors and words in Postgres: for all tenants."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.memory import statements_upkeep as statements
from services.memory.pgvector import OnPgvector, is_model_name
from services.memory.store import Unembedded

UPKEEP_SECONDS = 120.0
"""How long a batch of texts may be with an embedder that takes its time."""


class Upkeeping(OnPgvector):
    @asynccontextmanager
    async def unembedded(self, limit: int, after: str) -> AsyncIterator[Sequence[Unembedded] | None]:
        async with self._database.connection(UPKEEP_SECONDS) as connection, connection.transaction():
            if not await connection.fetchval(statements.LOCK_UPKEEP, self._options.model):
                yield None
                return
            rows = await connection.fetch(statements.UNEMBEDDED, self._options.model, limit, after)
            yield [Unembedded(row["memory_id"], row["digest"], row["text"]) for row in rows]

    async def embedded(self, vectors: Sequence[tuple[Unembedded, list[float]]]) -> int:
        memories = [memory for memory, _ in vectors]
        async with self._connection() as connection:
            status = await connection.execute(
                statements.EMBEDDED,
                [memory.memory_id for memory in memories],
                [memory.digest for memory in memories],
                self._options.model,
                [number for _, vector in vectors for number in vector],
                self._options.dimensions,
            )
        return int(status.split()[-1])

    async def lacking(self) -> int:
        async with self._connection() as connection:
            return int(await connection.fetchval(statements.LACKING, self._options.model))

    async def reread(self, limit: int) -> int:
        async with self._connection() as connection:
            status = await connection.execute(statements.REREAD, self._options.language, limit)
        return int(status.split()[-1])

    async def unread(self) -> int:
        async with self._connection() as connection:
            return int(await connection.fetchval(statements.UNREAD, self._options.language))

    async def forget_model(self, model: str, limit: int) -> int:
        if model == self._options.model or not is_model_name(model):
            raise ValueError(f"not another model's name: {model}")
        async with self._database.connection(UPKEEP_SECONDS) as connection:
            await connection.execute(statements.DROP_INDEX.format(model=model))
            status = await connection.execute(statements.FORGET_MODEL, model, limit)
        return int(status.split()[-1])
