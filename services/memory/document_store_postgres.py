"""Documents in the memory's Postgres."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from bureau_contracts.memory import Memory, MemoryStored
from bureau_contracts.memory_documents import Document, DocumentStored
from kit.identity import Owner, Reach
from services.memory.database import Connection, Database
from services.memory.document_store import DocumentDraft
from services.memory.rows import memory_of
from services.memory.statements import MEMORY
from services.memory.store import Draft

AddWithin = Callable[[Connection, Sequence[Draft]], Awaitable[list[MemoryStored]]]
"""Stores memories in a transaction that is open."""

_KEEP = """
INSERT INTO memory.document AS d
    (document_id, tenant, user_id, agent, title, media_type, metadata, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $8)
ON CONFLICT (document_id) DO UPDATE SET agent = excluded.agent, title = excluded.title,
    media_type = excluded.media_type, metadata = excluded.metadata, updated_at = excluded.updated_at
    WHERE d.tenant = $2 AND d.user_id = $3
RETURNING created_at
"""

_CHUNKS_THERE = """
SELECT c.memory_id, i.digest, i.agent FROM memory.chunk AS c JOIN memory.item AS i USING (memory_id)
WHERE i.tenant = $1 AND i.user_id = $2 AND c.document_id = $3 AND (i.expires_at IS NULL OR i.expires_at > $4)
"""

_REMOVE_BUT = """
DELETE FROM memory.item WHERE tenant = $1 AND user_id = $2 AND memory_id <> ALL($4::text[])
  AND memory_id IN (SELECT memory_id FROM memory.chunk WHERE document_id = $3)
"""

_MOVE = """
UPDATE memory.chunk AS c SET position = n.position
FROM unnest($1::text[], $2::int[]) AS n (memory_id, position) WHERE c.memory_id = n.memory_id
"""

_DESCRIBE = """
UPDATE memory.item AS i SET metadata = n.metadata::jsonb, updated_at = $5
FROM unnest($3::text[], $4::text[]) AS n (memory_id, metadata)
WHERE i.tenant = $1 AND i.user_id = $2 AND i.memory_id = n.memory_id AND i.metadata <> n.metadata::jsonb
"""

_PLACE = """
INSERT INTO memory.chunk (memory_id, document_id, position)
SELECT memory_id, $3, position FROM unnest($1::text[], $2::int[]) AS n (memory_id, position)
ON CONFLICT (memory_id) DO NOTHING
"""

_DOCUMENT = """
SELECT d.*, (SELECT count(*) FROM memory.chunk AS c WHERE c.document_id = d.document_id) AS chunks
FROM memory.document AS d
WHERE d.tenant = $1 AND ($2::text IS NULL OR d.user_id = $2)
"""

_PAGE = _DOCUMENT + ' AND d.document_id > $3 COLLATE "C" ORDER BY d.document_id LIMIT $4'

_ONE = _DOCUMENT + " AND d.document_id = $3"

_CHUNKS = f"""
SELECT {MEMORY} FROM memory.chunk AS c JOIN memory.item AS i USING (memory_id)
LEFT JOIN memory.usage AS u USING (memory_id)
WHERE i.tenant = $1 AND ($2::text IS NULL OR i.user_id = $2) AND c.document_id = $3
  AND c.position BETWEEN $4 AND $5 AND (i.expires_at IS NULL OR i.expires_at > $6) AND NOT i.quarantined
ORDER BY c.position
"""  # noqa: S608 - made of constants

_LOCK = """
SELECT document_id FROM memory.document
WHERE tenant = $1 AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR document_id = $3)
ORDER BY document_id FOR UPDATE
"""
"""Waits for a new version that is being stored: a statement that began before that does not see its chunks."""

_DELETE = """
WITH gone AS (
    DELETE FROM memory.item WHERE tenant = $1 AND ($2::text IS NULL OR user_id = $2)
      AND memory_id IN (SELECT memory_id FROM memory.chunk WHERE document_id = ANY($3::text[]))
)
DELETE FROM memory.document WHERE tenant = $1 AND ($2::text IS NULL OR user_id = $2) AND document_id = ANY($3::text[])
"""


class PostgresDocumentStore:
    def __init__(self, database: Database, timeout_seconds: float, add_within: AddWithin) -> None:
        self._database, self._timeout, self._add = database, timeout_seconds, add_within

    async def digests(self, owner: Owner, document_id: str, now: datetime) -> set[bytes]:
        async with self._database.connection(self._timeout) as connection:
            rows = await connection.fetch(_CHUNKS_THERE, owner.tenant, owner.user, document_id, now)
        return {row["digest"] for row in rows}

    async def replace(self, document: DocumentDraft, chunks: Sequence[Draft]) -> DocumentStored | None:
        owner, document_id = document.owner, document.document_id
        key = (owner.tenant, owner.user, document_id)
        async with self._database.connection(self._timeout) as connection, connection.transaction():
            begun = await connection.fetchval(
                _KEEP, document_id, owner.tenant, owner.user, document.agent, document.title, document.media_type,
                json.dumps(document.metadata), document.at,
            )  # fmt: skip
            if begun is None:
                return None
            # The document's row is locked from here on: of two at once one comes after the other.
            rows = await connection.fetch(_CHUNKS_THERE, *key, document.at)
            there = {row["digest"]: row["memory_id"] for row in rows if row["agent"] == document.agent}
            kept = [(there[c.wording.digest], place, c) for place, c in enumerate(chunks) if c.wording.digest in there]
            ids = [memory_id for memory_id, _, _ in kept]
            removed = int((await connection.execute(_REMOVE_BUT, *key, ids)).split()[-1])
            metadata = [json.dumps(chunk.metadata) for _, _, chunk in kept]
            await connection.execute(_MOVE, ids, [place for _, place, _ in kept])
            await connection.execute(_DESCRIBE, owner.tenant, owner.user, ids, metadata, document.at)
            added = await self._add_new(connection, document_id, chunks, there)
        shown = _shown(document, len(chunks), begun)
        return DocumentStored(document=shown, added=added, kept=len(kept), removed=removed)

    async def _add_new(
        self, connection: Connection, document_id: str, chunks: Sequence[Draft], there: dict[bytes, str]
    ) -> int:
        new = [(place, chunk) for place, chunk in enumerate(chunks) if chunk.wording.digest not in there]
        # The store takes vectors for all drafts of a call or for none.
        for part in (
            [n for n in new if n[1].wording.vector is not None],
            [n for n in new if n[1].wording.vector is None],
        ):
            if part:
                stored = await self._add(connection, [chunk for _, chunk in part])
                ids = [each.memory_id for each in stored]
                await connection.execute(_PLACE, ids, [place for place, _ in part], document_id)
        return len(new)

    async def page(self, reach: Reach, after: str, limit: int) -> list[Document]:
        async with self._database.connection(self._timeout) as connection:
            rows = await connection.fetch(_PAGE, reach.tenant, reach.user, after, limit)
        return [_document(row) for row in rows]

    async def chunks(self, reach: Reach, document_id: str, first: int, last: int, now: datetime) -> list[Memory] | None:
        key = (reach.tenant, reach.user, document_id)
        async with self._database.connection(self._timeout) as connection:
            if await connection.fetchrow(_ONE, *key) is None:
                return None
            rows = await connection.fetch(_CHUNKS, *key, first, last, now)
        return [memory_of(row) for row in rows]

    async def delete(self, reach: Reach, document_id: str) -> bool:
        return await self._delete(reach, document_id) > 0

    async def erase(self, owner: Owner) -> None:
        await self._delete(Reach(owner.tenant, owner.user), None)

    async def _delete(self, reach: Reach, document_id: str | None) -> int:
        async with self._database.connection(self._timeout) as connection, connection.transaction():
            rows = await connection.fetch(_LOCK, reach.tenant, reach.user, document_id)
            await connection.execute(_DELETE, reach.tenant, reach.user, [row["document_id"] for row in rows])
        return len(rows)


def _document(row: Any) -> Document:
    return Document.model_validate({**row, "metadata": json.loads(row["metadata"])})


def _shown(draft: DocumentDraft, chunks: int, created_at: datetime) -> Document:
    return Document(
        document_id=draft.document_id, tenant=draft.owner.tenant, user_id=draft.owner.user, agent=draft.agent,
        title=draft.title, media_type=draft.media_type, metadata=draft.metadata, chunks=chunks,
        created_at=created_at, updated_at=draft.at,
    )  # fmt: skip
