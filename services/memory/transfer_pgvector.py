"""Export and import in Postgres."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from bureau_contracts.memory import ExportedMemory, MemoryVersion
from kit.identity import Reach
from services.memory import statements_transfer as statements
from services.memory.database import Connection
from services.memory.pgvector import OnPgvector, one_user
from services.memory.rows import memory_of, version_of
from services.memory.statements import ADD_VECTOR
from services.memory.store import NO_MODEL, VERSIONS_SHOWN, Imported


class Transfers(OnPgvector):
    async def export(self, reach: Reach, now: datetime, after: str, limit: int) -> list[ExportedMemory]:
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            statement = statements.export(one_user(reach))
            rows = await connection.fetch(statement, reach.tenant, reach.user, now, after, limit)
            ids = [row["memory_id"] for row in rows]
            versions = defaultdict[str, list[MemoryVersion]](list)
            for row in await connection.fetch(statements.VERSIONS_OF, ids, VERSIONS_SHOWN):
                versions[row["memory_id"]].append(version_of(row))
        return [ExportedMemory(memory=memory_of(row), versions=versions[row["memory_id"]]) for row in rows]

    async def import_all(self, imports: Sequence[Imported], now: datetime) -> list[bool]:
        async with self._connection() as connection, connection.transaction():
            return [await self._import(connection, each, now) for each in imports]

    async def _import(self, connection: Connection, imported: Imported, now: datetime) -> bool:
        memory, wording = imported.memory, imported.wording
        retired = memory.memory_id.encode() if memory.superseded_by else b""
        key = (memory.tenant, memory.user_id, memory.memory_id)
        await connection.execute(statements.DELETE_GONE, *key, memory.agent, wording.digest, now)
        stored = await connection.fetchval(
            statements.IMPORT, memory.memory_id, memory.tenant, memory.user_id, memory.agent, memory.session_id,
            memory.source_seqs, memory.text, wording.digest + retired, " ".join(wording.words), memory.kind,
            json.dumps(memory.metadata), memory.importance, memory.valid_from, memory.valid_to, memory.supersedes,
            memory.superseded_by, memory.origin, memory.quarantined, memory.expires_at, memory.created_at,
            memory.updated_at, NO_MODEL if wording.vector is None else self._options.model,
            self._options.language,
        )  # fmt: skip
        if not stored:
            return False
        if wording.vector is not None:
            await connection.execute(ADD_VECTOR, *key, self._options.model, wording.vector)
        versions = [
            (
                memory.memory_id,
                number,
                v.text,
                v.kind,
                json.dumps(v.metadata),
                v.importance,
                v.quarantined,
                v.replaced_at,
            )
            for number, v in enumerate(reversed(imported.versions), start=1)
        ]  # fmt: skip
        await connection.executemany(statements.IMPORT_VERSION, versions)
        return True
