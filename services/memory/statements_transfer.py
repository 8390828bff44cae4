"""The SQL of `transfer_pgvector.py`."""

from functools import cache

from services.memory.statements import MEMORY, within

EXPORT = """
SELECT {memory} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
WHERE {within} AND (i.expires_at IS NULL OR i.expires_at > $3) AND i.memory_id > $4 COLLATE "C"
ORDER BY i.memory_id LIMIT $5
"""

VERSIONS_OF = """
SELECT memory_id, text, kind, metadata, importance, quarantined, replaced_at FROM (
    SELECT *, row_number() OVER (PARTITION BY memory_id ORDER BY number DESC) AS place
    FROM memory.version WHERE memory_id = ANY($1::text[])
) AS v WHERE place <= $2 ORDER BY memory_id, number DESC
"""

DELETE_GONE = """
DELETE FROM memory.item WHERE tenant = $1 AND user_id = $2 AND expires_at <= $6
  AND (memory_id = $3 OR (agent IS NOT DISTINCT FROM $4 AND digest = $5))
"""

IMPORT = """
INSERT INTO memory.item (
    memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest, words, kind, metadata, importance,
    valid_from, valid_to, supersedes, superseded_by, origin, quarantined, expires_at, created_at, updated_at,
    embedding_model, language
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, array_to_tsvector(memory.lexemes(string_to_array($9, ' '), $23)), $10, $11::jsonb,
    $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23
) ON CONFLICT DO NOTHING RETURNING 1
"""

IMPORT_VERSION = """
INSERT INTO memory.version (memory_id, number, text, kind, metadata, importance, quarantined, replaced_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
"""


@cache
def export(one_user: bool) -> str:
    """$3 now, $4 the memory to go on after, $5 limit."""
    return EXPORT.format(memory=MEMORY, within=within(one_user, "i"))
