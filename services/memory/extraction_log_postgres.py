"""Readings in the memory's Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from bureau_contracts.memory_extraction import Extraction
from kit.identity import Owner
from services.memory.database import Database
from services.memory.extraction_log import CLAIM_SECONDS, Conversation, Read

_CLAIM = "SELECT pg_try_advisory_xact_lock(hashtextextended('bureau:memory:extract:' || $1 || ':' || $2, 0))"

_READINGS = """
SELECT from_seq, to_seq, digest, answer FROM memory.extraction
WHERE tenant = $1 AND user_id = $2 AND session_id = $3 AND begun_at = $4 AND tool_results = $5
ORDER BY from_seq, to_seq
"""

_KEEP = """
INSERT INTO memory.extraction
    (tenant, user_id, session_id, begun_at, tool_results, from_seq, to_seq, digest, answer, read_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10)
ON CONFLICT (tenant, user_id, session_id, begun_at, tool_results, from_seq, to_seq)
DO UPDATE SET digest = excluded.digest, answer = excluded.answer, read_at = excluded.read_at
"""

_ERASE = "DELETE FROM memory.extraction WHERE tenant = $1 AND user_id = $2"


class PostgresExtractionLog:
    def __init__(self, database: Database, timeout_seconds: float) -> None:
        self._database, self._timeout = database, timeout_seconds

    @asynccontextmanager
    async def claim(self, conversation: Conversation) -> AsyncIterator[bool]:
        """A lock of a transaction that holds one connection meanwhile: it ends with the process, or the connection."""
        owner = conversation.owner
        async with self._database.connection(CLAIM_SECONDS) as connection, connection.transaction():
            yield await connection.fetchval(_CLAIM, f"{owner.tenant}:{owner.user}", conversation.session_id)

    async def readings(self, conversation: Conversation) -> list[Read]:
        async with self._database.connection(self._timeout) as connection:
            rows = await connection.fetch(_READINGS, *_key(conversation))
        return [
            Read(row["from_seq"], row["to_seq"], row["digest"], Extraction.model_validate_json(row["answer"]))
            for row in rows
        ]

    async def keep(self, conversation: Conversation, read: Read, now: datetime) -> None:
        values = (read.from_seq, read.to_seq, read.digest, read.answer.model_dump_json(), now)
        async with self._database.connection(self._timeout) as connection:
            await connection.execute(_KEEP, *_key(conversation), *values)

    async def erase(self, owner: Owner) -> None:
        async with self._database.connection(self._timeout) as connection:
            await connection.execute(_ERASE, owner.tenant, owner.user)


def _key(conversation: Conversation) -> tuple[object, ...]:
    owner = conversation.owner
    return owner.tenant, owner.user, conversation.session_id, conversation.begun_at, conversation.tool_results
