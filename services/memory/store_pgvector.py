"""Memories in Postgres with pgvector. Adding, searching, transfer and upkeep have rooms of their own beside it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import asyncpg

from bureau_contracts.memory import Memory, MemoryVersion
from kit.identity import Owner, Reach
from services.memory import statements
from services.memory.additions_pgvector import Additions
from services.memory.database import Connection
from services.memory.pgvector import one_user
from services.memory.rows import memory_of, version_of
from services.memory.search_pgvector import Searches, narrowed_by, scope_of
from services.memory.store import (
    VERSIONS_SHOWN,
    Change,
    Filter,
    Position,
    SameText,
    Successor,
    Superseded,
    Wording,
    changed,
)
from services.memory.transfer_pgvector import Transfers
from services.memory.upkeep_pgvector import Upkeeping

_BEGINNING = Position(datetime.max.replace(tzinfo=UTC), "~")


class PgvectorStore(Additions, Searches, Transfers, Upkeeping):
    """MemoryStore on Postgres. A search inside one owner is exact as long as that owner has few memories."""

    async def get(self, reach: Reach, memory_id: str, now: datetime) -> Memory | None:
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.get(one_user(reach)), reach.tenant, reach.user, memory_id, now)
        return None if row is None else memory_of(row)

    async def page(self, reach: Reach, which: Filter, limit: int, after: Position | None) -> list[Memory]:
        start = after or _BEGINNING
        narrowed, wanted = narrowed_by(reach, which, statements.PAGE_PARAMETERS)
        parameters = (*scope_of(reach, which), start.created_at, start.memory_id, limit, *wanted)
        async with self._connection() as connection:
            rows = await connection.fetch(statements.page(narrowed), *parameters)
        return [memory_of(row) for row in rows]

    async def update(self, reach: Reach, memory_id: str, change: Change, now: datetime) -> Memory | None:
        async with self._connection() as connection, connection.transaction():
            find = statements.get(one_user(reach), lock=True)
            row = await connection.fetchrow(find, reach.tenant, reach.user, memory_id, now)
            if row is None:
                return None
            before = memory_of(row)
            after = changed(before, change, now, self._options.model)
            if after is before:
                return before
            key = (before.tenant, before.user_id, memory_id)
            await connection.execute(statements.KEEP_VERSION, *key, now)
            if change.wording is None or after.text == before.text:
                await connection.execute(statements.UPDATE_DETAILS, *key, *_details(after))
            else:
                await self._reword(connection, after, change.wording)
        return after

    async def _reword(self, connection: Connection, memory: Memory, wording: Wording) -> None:
        key = (memory.tenant, memory.user_id, memory.memory_id)
        lookup = ([memory.tenant], [memory.user_id], [memory.agent], [wording.digest], memory.updated_at)
        same = await connection.fetch(statements.SAME_TEXT, *lookup)
        await connection.execute(statements.DELETE_EXPIRED, [row["memory_id"] for row in same], memory.updated_at)
        try:
            await connection.execute(
                statements.UPDATE, *key, wording.text, wording.digest, " ".join(wording.words), *_details(memory),
                memory.embedding_model, self._options.language,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise SameText("this owner has a memory with this text already") from error
        await connection.execute(statements.FORGET_VECTORS, *key)
        if wording.vector is not None:
            await connection.execute(statements.ADD_VECTOR, *key, self._options.model, wording.vector)

    async def history(self, reach: Reach, memory_id: str, now: datetime) -> list[MemoryVersion] | None:
        one = one_user(reach)
        async with self._connection() as connection:
            if await connection.fetchrow(statements.get(one), reach.tenant, reach.user, memory_id, now) is None:
                return None
            rows = await connection.fetch(statements.history(one), reach.tenant, reach.user, memory_id, VERSIONS_SHOWN)
        return [version_of(row) for row in rows]

    async def supersede(self, reach: Reach, memory_id: str, successor: Successor, now: datetime) -> Memory | None:
        async with self._connection() as connection, connection.transaction():
            find = statements.get(one_user(reach), lock=True)
            row = await connection.fetchrow(find, reach.tenant, reach.user, memory_id, now)
            if row is None:
                return None
            old = memory_of(row)
            if old.superseded_by is not None:
                raise Superseded(f"this memory was superseded by {old.superseded_by}")
            draft = successor(old)
            await connection.execute(statements.SUPERSEDE, old.tenant, old.user_id, memory_id, now, draft.memory_id)
            (stored,) = await self.add_within(connection, [draft])
            if not stored.created:
                raise SameText("this owner has a memory with this text already")
            new = await connection.fetchrow(statements.get(True), old.tenant, old.user_id, draft.memory_id, now)
            return memory_of(new)

    async def delete(self, reach: Reach, memory_id: str, now: datetime, *, purge: bool = False) -> bool:
        statement = (statements.purge if purge else statements.delete)(one_user(reach))
        async with self._connection() as connection:
            return bool(await connection.fetchval(statement, reach.tenant, reach.user, memory_id, now))

    async def restore(self, reach: Reach, memory_id: str, now: datetime, *, deleted_after: datetime) -> Memory | None:
        key = (reach.tenant, reach.user, memory_id, now)
        async with self._connection() as connection, connection.transaction():
            if not await connection.fetchval(statements.restore(one_user(reach)), *key, deleted_after):
                return None
            return memory_of(await connection.fetchrow(statements.get(one_user(reach)), *key))

    async def purge_gone(self, before: datetime, limit: int) -> int:
        async with self._connection() as connection:
            status = await connection.execute(statements.PURGE_GONE, before, limit)
        return int(status.split()[-1])

    async def erase(self, owner: Owner) -> int:
        async with self._connection() as connection:
            status = await connection.execute(statements.ERASE, owner.tenant, owner.user)
        return int(status.split()[-1])

    async def note_used(self, counts: Mapping[str, int], at: datetime) -> None:
        async with self._connection() as connection:
            await connection.execute(statements.NOTE_USED, list(counts), list(counts.values()), at)


def _details(memory: Memory) -> tuple[object, ...]:
    return (
        memory.kind,
        json.dumps(memory.metadata),
        memory.importance,
        memory.expires_at,
        memory.updated_at,
        memory.quarantined,
    )
