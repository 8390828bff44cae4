"""The SQL of `store_pgvector.py`, and what the SQL beside it shares: additions, search, transfer, upkeep.

Every statement on memories names tenant and, unless all are meant, user.

Parameters $1 and $2 are always tenant and user; $2 is NULL when every user of the tenant is within reach. A condition
that is not asked for is not in the text: a plan that is made once must not expect that it leaves few rows.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

MEMORY = """
    i.memory_id, i.tenant, i.user_id, i.agent, i.session_id, i.source_seqs, i.text, i.kind, i.metadata, i.importance,
    i.valid_from, i.valid_to, i.supersedes, i.superseded_by, i.origin, i.quarantined, i.expires_at, i.embedding_model,
    i.created_at, i.updated_at,
    u.last_used_at, coalesce(u.use_count, 0) AS use_count
"""

SAME_TEXT = """
SELECT i.memory_id, i.tenant, i.user_id, i.agent, i.digest, coalesce(i.expires_at <= $5, false) AS expired
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS d (tenant, user_id, agent, digest)
JOIN memory.item AS i
  ON i.tenant = d.tenant AND i.user_id = d.user_id AND i.agent IS NOT DISTINCT FROM d.agent AND i.digest = d.digest
"""

DELETE_EXPIRED = "DELETE FROM memory.item WHERE memory_id = ANY($1::text[]) AND expires_at <= $2"

UPDATE = """
UPDATE memory.item SET text = $4, digest = $5, words = array_to_tsvector(memory.lexemes(string_to_array($6, ' '), $14)),
       kind = $7, metadata = $8::jsonb, importance = $9, expires_at = $10, updated_at = $11, quarantined = $12,
       embedding_model = $13, language = $14
WHERE tenant = $1 AND user_id = $2 AND memory_id = $3
"""

UPDATE_DETAILS = """
UPDATE memory.item SET kind = $4, metadata = $5::jsonb, importance = $6, expires_at = $7, updated_at = $8,
       quarantined = $9
WHERE tenant = $1 AND user_id = $2 AND memory_id = $3
"""

FORGET_VECTORS = "DELETE FROM memory.embedding WHERE tenant = $1 AND user_id = $2 AND memory_id = $3"

ADD_VECTOR = """
INSERT INTO memory.embedding (tenant, user_id, memory_id, model, embedding) VALUES ($1, $2, $3, $4, $5::real[]::halfvec)
"""

PURGE_GONE = """
DELETE FROM memory.item WHERE memory_id IN (
    SELECT memory_id FROM memory.item
    WHERE expires_at < $1 AND (deleted_at IS NULL OR deleted_at < $1)
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""

SUPERSEDE = """
UPDATE memory.item SET valid_to = $4, superseded_by = $5, updated_at = $4,
       digest = digest || convert_to(memory_id, 'UTF8')
WHERE tenant = $1 AND user_id = $2 AND memory_id = $3
"""

KEEP_VERSION = """
INSERT INTO memory.version (memory_id, number, text, kind, metadata, importance, replaced_at, quarantined)
SELECT memory_id, 1 + coalesce((SELECT max(number) FROM memory.version WHERE memory_id = $3), 0),
       text, kind, metadata, importance, $4, quarantined
FROM memory.item WHERE tenant = $1 AND user_id = $2 AND memory_id = $3
"""

ERASE = "DELETE FROM memory.item WHERE tenant = $1 AND user_id = $2"

NOTE_USED = """
INSERT INTO memory.usage AS u (memory_id, last_used_at, use_count)
SELECT i.memory_id, $3, d.times
FROM unnest($1::text[], $2::bigint[]) AS d (memory_id, times) JOIN memory.item AS i USING (memory_id)
ORDER BY i.memory_id FOR KEY SHARE OF i
ON CONFLICT (memory_id) DO UPDATE
SET last_used_at = greatest(u.last_used_at, excluded.last_used_at), use_count = u.use_count + excluded.use_count
"""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """By what a statement is narrowed: which of $2 (user), $3 (agent) and $4 (kind) are not NULL, and conditions whose
    parameters come last."""

    user: bool
    agent: bool
    kind: bool
    more: str = "true"

    @property
    def sql(self) -> str:
        agent = "i.agent = $3" if self.agent else "$3::text IS NULL"
        kind = "i.kind = $4" if self.kind else "$4::text IS NULL"
        return f"{agent} AND {kind} AND (i.expires_at IS NULL OR i.expires_at > $5) AND {self.more}"


def within(one_user: bool, alias: str) -> str:
    user = f"{alias}.user_id = $2" if one_user else "$2::text IS NULL"
    return f"{alias}.tenant = $1 AND {user}"


@cache
def get(one_user: bool, lock: bool = False) -> str:
    """$3 memory, $4 now."""
    return f"""
    SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
    WHERE {within(one_user, "i")} AND i.memory_id = $3 AND (i.expires_at IS NULL OR i.expires_at > $4)
    {"FOR UPDATE OF i" if lock else ""}
    """  # noqa: S608 - made of constants


PAGE_PARAMETERS = 8
"""So many come before those of `Narrowed.more`."""


@lru_cache(maxsize=200)
def page(narrowed: Narrowed) -> str:
    """$3 agent, $4 kind, $5 now, $6 and $7 the position before the first, $8 limit."""
    return f"""
    SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
    WHERE {within(narrowed.user, "i")} AND {narrowed.sql} AND (i.created_at, i.memory_id) < ($6, $7)
    ORDER BY i.created_at DESC, i.memory_id DESC LIMIT $8
    """  # noqa: S608 - made of constants


@cache
def history(one_user: bool) -> str:
    """$3 memory, $4 limit."""
    return f"""
    SELECT v.text, v.kind, v.metadata, v.importance, v.quarantined, v.replaced_at
    FROM memory.version AS v JOIN memory.item AS i USING (memory_id)
    WHERE {within(one_user, "i")} AND i.memory_id = $3 ORDER BY v.number DESC LIMIT $4
    """  # noqa: S608 - made of constants


@cache
def delete(one_user: bool) -> str:
    """$3 memory, $4 now."""
    return f"""
    WITH deleted AS (
        UPDATE memory.item AS i SET deleted_at = $4, expired_before = expires_at, expires_at = 'epoch'
        WHERE {within(one_user, "i")} AND i.memory_id = $3 AND (i.expires_at IS NULL OR i.expires_at > $4)
        RETURNING memory_id
    ), vectors AS (
        DELETE FROM memory.embedding WHERE memory_id IN (SELECT memory_id FROM deleted)
    )
    SELECT 1 FROM deleted
    """  # noqa: S608 - made of constants


@cache
def purge(one_user: bool) -> str:
    """$3 memory, $4 now. Deleted before or not; what has expired by itself is not there."""
    return f"""
    DELETE FROM memory.item AS i
    WHERE {within(one_user, "i")} AND i.memory_id = $3
      AND (i.expires_at IS NULL OR i.expires_at > $4 OR i.deleted_at IS NOT NULL)
    RETURNING 1
    """  # noqa: S608 - made of constants


@cache
def restore(one_user: bool) -> str:
    """$3 memory, $4 now, $5 the earliest deletion that can be undone."""
    return f"""
    UPDATE memory.item AS i SET deleted_at = NULL, expires_at = expired_before, expired_before = NULL,
           embedding_model = ''
    WHERE {within(one_user, "i")} AND i.memory_id = $3 AND i.deleted_at > $5
      AND (i.expired_before IS NULL OR i.expired_before > $4)
    RETURNING 1
    """  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Model:
    """Whose vectors are compared. The name is checked by the store: it stands in the text of statements."""

    name: str
    dimensions: int
