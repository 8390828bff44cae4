"""The SQL of `additions_pgvector.py`."""

STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged (
    memory_id text, tenant text, user_id text, agent text, session_id text, source_seqs bigint[], text text,
    digest bytea, words text, kind text, metadata text, importance float8, expires_at timestamptz,
    created_at timestamptz, origin text, quarantined bool, supersedes text, vector real[]
) ON COMMIT DELETE ROWS
"""
"""Of each connection its own. Memories are copied into it in Postgres' binary form, which is read quicker than arrays
of parameters."""

CLEAR_STAGE = "DELETE FROM staged"

ADD_STAGED = """
WITH stored AS (
    INSERT INTO memory.item (
        memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest, words,
        kind, metadata, importance, expires_at, created_at, updated_at, valid_from, embedding_model,
        origin, quarantined, supersedes, language
    )
    SELECT memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest,
           array_to_tsvector(memory.lexemes(string_to_array(words, ' '), $2)),
           kind, metadata::jsonb, importance, expires_at, created_at, created_at, created_at,
           CASE WHEN vector IS NULL THEN '' ELSE $1 END, origin, quarantined, supersedes, $2
    FROM staged
    ORDER BY tenant, user_id, agent, digest  -- one order for everybody, so that two batches cannot wait for each other
    ON CONFLICT (tenant, user_id, agent, digest) DO NOTHING
    RETURNING memory_id
), embedded AS (
    INSERT INTO memory.embedding (memory_id, model, tenant, user_id, embedding)
    SELECT memory_id, $1, tenant, user_id, vector::halfvec
    FROM staged JOIN stored USING (memory_id)
    WHERE vector IS NOT NULL
)
SELECT memory_id FROM stored
"""

ADD = """
WITH draft AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[],
        $10::text[], $11::text[], $12::float8[], $13::timestamptz[], $14::timestamptz[],
        $18::text[], $19::bool[], $20::text[]
    ) WITH ORDINALITY AS d (
        memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest, words,
        kind, metadata, importance, expires_at, created_at, origin, quarantined, supersedes, number
    )
), stored AS (
    INSERT INTO memory.item (
        memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest, words,
        kind, metadata, importance, expires_at, created_at, updated_at, valid_from, embedding_model,
        origin, quarantined, supersedes, language
    )
    SELECT memory_id, tenant, user_id, agent, session_id, source_seqs::bigint[], text, digest,
           array_to_tsvector(memory.lexemes(string_to_array(words, ' '), $21)),
           kind, metadata::jsonb, importance, expires_at, created_at, created_at, created_at,
           CASE WHEN $16::real[] IS NULL THEN '' ELSE $15 END, origin, quarantined, supersedes, $21
    FROM draft
    ORDER BY tenant, user_id, agent, digest  -- one order for everybody, so that two batches cannot wait for each other
    ON CONFLICT (tenant, user_id, agent, digest) DO NOTHING
    RETURNING memory_id
), embedded AS (
    INSERT INTO memory.embedding (memory_id, model, tenant, user_id, embedding)
    SELECT memory_id, $15, tenant, user_id, ($16::real[])[(number - 1) * $17::int + 1 : number * $17::int]::halfvec
    FROM draft JOIN stored USING (memory_id)
    WHERE $16::real[] IS NOT NULL
)
SELECT memory_id FROM stored
"""
