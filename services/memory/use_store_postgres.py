"""Uses in the memory's Postgres."""

from collections.abc import Sequence
from datetime import datetime

from bureau_contracts.memory import Memory
from bureau_contracts.memory_usage import HarmfulMemory, MemoryGiven, MemoryUse
from kit.identity import Owner, Reach
from services.memory.database import Connection, Database
from services.memory.rows import memory_of
from services.memory.statements import MEMORY
from services.memory.uses import Report, Use

# A use whose memories have all gone belongs to somebody who was erased meanwhile, or says nothing any more.
_RECORD = """
WITH given AS (
    SELECT g.use_id, g.memory_id, g.place, g.score
    FROM unnest($8::text[], $9::text[], $10::int[], $11::float8[], $12::text[])
        AS g (use_id, memory_id, place, score, tenant)
    WHERE EXISTS (SELECT FROM memory.item AS i WHERE i.memory_id = g.memory_id AND i.tenant = g.tenant FOR KEY SHARE)
), searched AS (
    INSERT INTO memory.search (use_id, tenant, user_id, trace_id, agent, query, searched_at)
    SELECT s.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
        AS s (use_id, tenant, user_id, trace_id, agent, query, searched_at)
    WHERE NOT s.use_id = ANY($8::text[]) OR s.use_id IN (SELECT use_id FROM given)
    ORDER BY s.use_id
    ON CONFLICT (use_id) DO NOTHING
    RETURNING use_id
)
INSERT INTO memory.given (use_id, memory_id, place, score)
SELECT use_id, memory_id, place, score FROM given WHERE use_id IN (SELECT use_id FROM searched)
ON CONFLICT (use_id, memory_id) DO NOTHING
"""

_REPORT = """
UPDATE memory.given AS g SET helped = $4, note = $5, reported_at = $6
FROM memory.search AS s
WHERE s.use_id = g.use_id AND s.tenant = $1 AND ($2::text IS NULL OR s.user_id = $2) AND s.trace_id = $3
  AND ($7::text[] IS NULL OR g.memory_id = ANY($7))
"""

_OF_TRACE = """
SELECT * FROM memory.search
WHERE tenant = $1 AND ($2::text IS NULL OR user_id = $2) AND trace_id = $3
ORDER BY searched_at DESC, use_id DESC LIMIT $4
"""

_OF_MEMORY = """
SELECT s.* FROM memory.search AS s JOIN memory.given AS g USING (use_id)
WHERE s.tenant = $1 AND ($2::text IS NULL OR s.user_id = $2) AND g.memory_id = $3
ORDER BY s.searched_at DESC, s.use_id DESC LIMIT $4
"""

_GIVEN = """
SELECT use_id, memory_id, score, helped, note FROM memory.given WHERE use_id = ANY($1::text[]) ORDER BY use_id, place
"""

_UNUSED = f"""
SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
WHERE i.tenant = $1 AND ($2::text IS NULL OR i.user_id = $2) AND i.created_at < $3
  AND (u.last_used_at IS NULL OR u.last_used_at < $3) AND i.valid_to IS NULL
  AND (i.expires_at IS NULL OR i.expires_at > $4)
ORDER BY coalesce(u.last_used_at, i.created_at), i.memory_id LIMIT $5
"""  # noqa: S608 - made of constants

_HARMFUL = f"""
SELECT {MEMORY}, r.helped, r.harmed
FROM (
    SELECT g.memory_id, count(*) FILTER (WHERE g.helped) AS helped, count(*) FILTER (WHERE NOT g.helped) AS harmed
    FROM memory.given AS g JOIN memory.search AS s USING (use_id)
    WHERE s.tenant = $1 AND ($2::text IS NULL OR s.user_id = $2) AND g.helped IS NOT NULL
    GROUP BY g.memory_id
) AS r
JOIN memory.item AS i USING (memory_id) LEFT JOIN memory.usage AS u USING (memory_id)
WHERE i.tenant = $1 AND ($2::text IS NULL OR i.user_id = $2) AND r.harmed > r.helped
  AND (i.expires_at IS NULL OR i.expires_at > $3)
ORDER BY r.helped - r.harmed, i.memory_id LIMIT $4
"""  # noqa: S608 - made of constants

_ERASE = "DELETE FROM memory.search WHERE tenant = $1 AND user_id = $2"

_PURGE = """
DELETE FROM memory.search WHERE use_id IN (
    SELECT use_id FROM memory.search WHERE searched_at < $1 ORDER BY searched_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class PostgresUseStore:
    def __init__(self, database: Database, timeout_seconds: float) -> None:
        self._database, self._timeout = database, timeout_seconds

    async def record(self, uses: Sequence[Use]) -> None:
        if not uses:
            return
        searches = [
            (u.use_id, u.owner.tenant, u.owner.user, u.trace_id, u.agent, u.query.replace("\x00", ""), u.at)
            for u in uses
        ]
        given = [
            (u.use_id, memory_id, place, score, u.owner.tenant)
            for u in uses
            for place, (memory_id, score) in enumerate(u.given, start=1)
        ]
        columns = [*map(list, zip(*searches, strict=True))]
        columns += [*map(list, zip(*given, strict=True))] if given else [[], [], [], [], []]
        async with self._database.connection(self._timeout) as connection:
            await connection.execute(_RECORD, *columns)

    async def report(self, reach: Reach, report: Report) -> int:
        ids = None if report.memory_ids is None else list(report.memory_ids)
        values = (report.trace_id, report.helped, report.note, report.at, ids)
        async with self._database.connection(self._timeout) as connection:
            status = await connection.execute(_REPORT, reach.tenant, reach.user, *values)
        return int(status.split()[-1])

    async def of_trace(self, reach: Reach, trace_id: str, limit: int) -> list[MemoryUse]:
        async with self._database.connection(self._timeout) as connection:
            return await _uses(connection, _OF_TRACE, reach, trace_id, limit)

    async def of_memory(self, reach: Reach, memory_id: str, limit: int) -> list[MemoryUse]:
        async with self._database.connection(self._timeout) as connection:
            return await _uses(connection, _OF_MEMORY, reach, memory_id, limit)

    async def unused(self, reach: Reach, since: datetime, now: datetime, limit: int) -> list[Memory]:
        async with self._database.connection(self._timeout) as connection:
            rows = await connection.fetch(_UNUSED, reach.tenant, reach.user, since, now, limit)
        return [memory_of(row) for row in rows]

    async def harmful(self, reach: Reach, now: datetime, limit: int) -> list[HarmfulMemory]:
        async with self._database.connection(self._timeout) as connection:
            rows = await connection.fetch(_HARMFUL, reach.tenant, reach.user, now, limit)
        return [HarmfulMemory(memory=memory_of(row), helped=row["helped"], harmed=row["harmed"]) for row in rows]

    async def erase(self, owner: Owner) -> None:
        async with self._database.connection(self._timeout) as connection:
            await connection.execute(_ERASE, owner.tenant, owner.user)

    async def purge(self, before: datetime, limit: int) -> int:
        async with self._database.connection(self._timeout) as connection:
            status = await connection.execute(_PURGE, before, limit)
        return int(status.split()[-1])


async def _uses(connection: Connection, statement: str, reach: Reach, what: str, limit: int) -> list[MemoryUse]:
    rows = await connection.fetch(statement, reach.tenant, reach.user, what, limit)
    given = await connection.fetch(_GIVEN, [row["use_id"] for row in rows])
    return [
        MemoryUse(**row, results=[MemoryGiven(**each) for each in given if each["use_id"] == row["use_id"]])
        for row in map(dict, rows)
    ]
