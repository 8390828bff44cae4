"""The SQL of `upkeep_pgvector.py`: for all tenants."""

LOCK_UPKEEP = "SELECT pg_try_advisory_xact_lock(hashtext('bureau:memory:embed:' || $1))"

UNEMBEDDED = """
SELECT i.memory_id, i.digest, i.text FROM memory.item AS i
WHERE i.memory_id > $3 COLLATE "C" AND i.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM memory.embedding AS e WHERE e.memory_id = i.memory_id AND e.model = $1)
ORDER BY i.memory_id LIMIT $2
"""

LACKING = """
SELECT count(*) FROM memory.item AS i
WHERE i.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM memory.embedding AS e WHERE e.memory_id = i.memory_id AND e.model = $1)
"""

REREAD = """
WITH others AS (
    SELECT memory_id FROM memory.item
    WHERE (language < $1 OR language > $1) AND EXISTS (SELECT FROM memory.reading WHERE language = $1)
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE memory.item AS i SET language = $1, words = array_to_tsvector(memory.lexemes(memory.as_written(i.words), $1))
FROM others WHERE i.memory_id = others.memory_id
"""
"""Less or more, and not "other than": for that the index on it is of no use."""

UNREAD = "SELECT count(*) FROM memory.item WHERE language < $1 OR language > $1"

DROP_INDEX = 'DROP INDEX CONCURRENTLY IF EXISTS memory."embedding_{model}"'

FORGET_MODEL = """
DELETE FROM memory.embedding WHERE (memory_id, model) IN (
    SELECT memory_id, model FROM memory.embedding WHERE model = $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""

EMBEDDED = """
WITH made AS (
    SELECT * FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS d (memory_id, digest, number)
), still AS (
    SELECT i.memory_id, i.tenant, i.user_id, made.number
    FROM made JOIN memory.item AS i ON i.memory_id = made.memory_id AND i.digest = made.digest
    WHERE i.deleted_at IS NULL
    ORDER BY i.memory_id FOR SHARE OF i
), kept AS (
    INSERT INTO memory.embedding (memory_id, model, tenant, user_id, embedding)
    SELECT memory_id, $3, tenant, user_id, ($4::real[])[(number - 1) * $5::int + 1 : number * $5::int]::halfvec
    FROM still
    ON CONFLICT (memory_id, model) DO NOTHING
    RETURNING memory_id
)
UPDATE memory.item AS i SET embedding_model = $3 FROM kept WHERE i.memory_id = kept.memory_id
"""
"""FOR SHARE waits for a change of the text that is under way, and then looks at the digest again."""
