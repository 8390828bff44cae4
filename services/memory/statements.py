"""The SQL of `store_pgvector.py`. Every statement on memories names tenant and, unless all are meant, user.

Parameters $1 and $2 are always tenant and user; $2 is NULL when every user of the tenant is within reach. A condition
that is not asked for is not in the text: a plan that is made once must not expect that it leaves few rows.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

from services.memory.store import FUSION_OFFSET

MEMORY = """
    i.memory_id, i.tenant, i.user_id, i.agent, i.session_id, i.source_seqs, i.text, i.kind, i.metadata, i.importance,
    i.valid_from, i.valid_to, i.supersedes, i.superseded_by, i.origin, i.quarantined, i.expires_at, i.embedding_model,
    i.created_at, i.updated_at,
    u.last_used_at, coalesce(u.use_count, 0) AS use_count
"""

# ts_rank of words without positions is this times the share of the query's words that are there
# (weight D is 0.1, and π²/6 normalises): src/backend/utils/adt/tsrank.c, calc_rank_or.
_RANK_OF_ALL = "0.0607927"

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
        origin, quarantined, supersedes
    )
    SELECT memory_id, tenant, user_id, agent, session_id, source_seqs, text, digest,
           array_to_tsvector(string_to_array(words, ' ')),
           kind, metadata::jsonb, importance, expires_at, created_at, created_at, created_at,
           CASE WHEN vector IS NULL THEN '' ELSE $1 END, origin, quarantined, supersedes
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
        origin, quarantined, supersedes
    )
    SELECT memory_id, tenant, user_id, agent, session_id, source_seqs::bigint[], text, digest,
           array_to_tsvector(string_to_array(words, ' ')),
           kind, metadata::jsonb, importance, expires_at, created_at, created_at, created_at,
           CASE WHEN $16::real[] IS NULL THEN '' ELSE $15 END, origin, quarantined, supersedes
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

SAME_TEXT = """
SELECT i.memory_id, i.tenant, i.user_id, i.agent, i.digest, coalesce(i.expires_at <= $5, false) AS expired
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS d (tenant, user_id, agent, digest)
JOIN memory.item AS i
  ON i.tenant = d.tenant AND i.user_id = d.user_id AND i.agent IS NOT DISTINCT FROM d.agent AND i.digest = d.digest
"""

DELETE_EXPIRED = "DELETE FROM memory.item WHERE memory_id = ANY($1::text[]) AND expires_at <= $2"

UPDATE = """
UPDATE memory.item SET text = $4, digest = $5, words = array_to_tsvector(string_to_array($6, ' ')), kind = $7,
       metadata = $8::jsonb, importance = $9, expires_at = $10, updated_at = $11, quarantined = $12,
       embedding_model = $13
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
    embedding_model
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, array_to_tsvector(string_to_array($9, ' ')), $10, $11::jsonb, $12,
    $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
) ON CONFLICT DO NOTHING RETURNING 1
"""

IMPORT_VERSION = """
INSERT INTO memory.version (memory_id, number, text, kind, metadata, importance, quarantined, replaced_at)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
"""

SUPERSEDE = """
UPDATE memory.item SET valid_to = $4, superseded_by = $5, updated_at = $4,
       digest = digest || convert_to(memory_id, 'UTF8')
WHERE tenant = $1 AND user_id = $2 AND memory_id = $3
"""

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

VECTOR_INDEX = """
CREATE INDEX IF NOT EXISTS "embedding_{model}" ON memory.embedding
USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WHERE model = '{model}'
"""

SCAN_INDEX = """
SET LOCAL hnsw.iterative_scan = relaxed_order;
SET LOCAL hnsw.ef_search = {ef_search};
SET LOCAL plan_cache_mode = force_custom_plan
"""
"""Before a search that is not exact: whether an index pays depends on the words. Planning costs half a millisecond."""


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


def _within(one_user: bool, alias: str) -> str:
    user = f"{alias}.user_id = $2" if one_user else "$2::text IS NULL"
    return f"{alias}.tenant = $1 AND {user}"


@cache
def get(one_user: bool, lock: bool = False) -> str:
    """$3 memory, $4 now."""
    return f"""
    SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
    WHERE {_within(one_user, "i")} AND i.memory_id = $3 AND (i.expires_at IS NULL OR i.expires_at > $4)
    {"FOR UPDATE OF i" if lock else ""}
    """  # noqa: S608 - made of constants


PAGE_PARAMETERS = 8
SEARCH_PARAMETERS = 13
"""So many come before those of `Narrowed.more`."""


@lru_cache(maxsize=200)
def page(narrowed: Narrowed) -> str:
    """$3 agent, $4 kind, $5 now, $6 and $7 the position before the first, $8 limit."""
    return f"""
    SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
    WHERE {_within(narrowed.user, "i")} AND {narrowed.sql} AND (i.created_at, i.memory_id) < ($6, $7)
    ORDER BY i.created_at DESC, i.memory_id DESC LIMIT $8
    """  # noqa: S608 - made of constants


@cache
def history(one_user: bool) -> str:
    """$3 memory, $4 limit."""
    return f"""
    SELECT v.text, v.kind, v.metadata, v.importance, v.quarantined, v.replaced_at
    FROM memory.version AS v JOIN memory.item AS i USING (memory_id)
    WHERE {_within(one_user, "i")} AND i.memory_id = $3 ORDER BY v.number DESC LIMIT $4
    """  # noqa: S608 - made of constants


@cache
def delete(one_user: bool) -> str:
    """$3 memory, $4 now."""
    return f"""
    WITH deleted AS (
        UPDATE memory.item AS i SET deleted_at = $4, expired_before = expires_at, expires_at = 'epoch'
        WHERE {_within(one_user, "i")} AND i.memory_id = $3 AND (i.expires_at IS NULL OR i.expires_at > $4)
        RETURNING memory_id
    ), vectors AS (
        DELETE FROM memory.embedding WHERE memory_id IN (SELECT memory_id FROM deleted)
    )
    SELECT 1 FROM deleted
    """  # noqa: S608 - made of constants


@cache
def export(one_user: bool) -> str:
    """$3 now, $4 the memory to go on after, $5 limit."""
    return EXPORT.format(memory=MEMORY, within=_within(one_user, "i"))


@cache
def purge(one_user: bool) -> str:
    """$3 memory, $4 now. Deleted before or not; what has expired by itself is not there."""
    return f"""
    DELETE FROM memory.item AS i
    WHERE {_within(one_user, "i")} AND i.memory_id = $3
      AND (i.expires_at IS NULL OR i.expires_at > $4 OR i.deleted_at IS NOT NULL)
    RETURNING 1
    """  # noqa: S608 - made of constants


@cache
def restore(one_user: bool) -> str:
    """$3 memory, $4 now, $5 the earliest deletion that can be undone."""
    return f"""
    UPDATE memory.item AS i SET deleted_at = NULL, expires_at = expired_before, expired_before = NULL,
           embedding_model = ''
    WHERE {_within(one_user, "i")} AND i.memory_id = $3 AND i.deleted_at > $5
      AND (i.expired_before IS NULL OR i.expired_before > $4)
    RETURNING 1
    """  # noqa: S608 - made of constants


@cache
def count(one_user: bool) -> str:
    """How many memories are within reach; $3 is enough, counting stops there."""
    return f"""
    SELECT coalesce(sum(items), 0) FROM (
        SELECT o.items FROM memory.owner AS o WHERE {_within(one_user, "o")} LIMIT $3
    ) AS within
    """  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Model:
    """Whose vectors are compared. The name is checked by the store: it stands in the text of statements."""

    name: str
    dimensions: int


def _near(model: Model, vector: str, narrowed: Narrowed, exact: bool, candidates: int, only: str = "") -> str:
    # An exact search reads the owner's rows by index on both sides; beside an index scan the same condition twice
    # would make the planner expect so few rows that it leaves the index.
    within = (
        f"{_within(narrowed.user, 'e')} AND {_within(narrowed.user, 'i')}" if exact else _within(narrowed.user, "e")
    )
    size = model.dimensions
    distance = f"e.embedding::halfvec({size}) <=> (SELECT {vector}::real[]::halfvec({size}))"
    return f"""
        SELECT memory_id, 1 - ({distance}) AS similarity
        FROM memory.embedding AS e JOIN memory.item AS i USING (memory_id)
        WHERE {vector}::real[] IS NOT NULL AND e.model = '{model.name}' AND {within} AND {narrowed.sql} {only}
        ORDER BY ({distance}) {"+ 0" if exact else ""} LIMIT {candidates}
    """  # noqa: S608 - made of constants; the model's name is checked by the store


def _near_before(model: Model, previous: Model | None, narrowed: Narrowed, exact: bool, candidates: int) -> str:
    """What only the previous model has a vector of. Its similarities are on another scale: it has places of its own."""
    if previous is None:
        return "SELECT NULL::text AS memory_id, NULL::float8 AS similarity WHERE $11::real[] IS NOT NULL"
    only = f"""AND NOT EXISTS (
            SELECT FROM memory.embedding AS n WHERE n.memory_id = e.memory_id AND n.model = '{model.name}'
        )"""
    return _near(previous, "$11", narrowed, exact, candidates, only)


@lru_cache(maxsize=500)
def search(model: Model, previous: Model | None, narrowed: Narrowed, exact: bool, candidates: int) -> str:
    """$3 agent, $4 kind, $5 now, $6 vector, $7 words, $8 k, $9 whether to fuse, $10 least score, $11 vector by
    the previous model, $12 half-life in seconds, $13 weight of importance.

    A vector or words that are NULL switch that ranking off. `exact` compares all vectors within reach (the 0 that is
    added keeps the index out of it); otherwise the model's HNSW index is scanned. The number of candidates is no
    parameter, because a plan made without knowing it expects many.
    """
    return f"""
    WITH near AS MATERIALIZED ({_near(model, "$6", narrowed, exact, candidates)}
    ), near_before AS MATERIALIZED ({_near_before(model, previous, narrowed, exact, candidates)}
    ), worded AS MATERIALIZED (
        SELECT i.memory_id, round((ts_rank(i.words, $7::tsquery) / {_RANK_OF_ALL})::numeric, 4)::float8 AS share
        FROM memory.item AS i
        WHERE i.words @@ $7::tsquery AND {_within(narrowed.user, "i")} AND {narrowed.sql}
        ORDER BY share DESC, i.created_at DESC, i.memory_id DESC LIMIT {candidates}
    ), fused AS (
        SELECT memory_id, n.similarity, w.share,
               CASE WHEN $9::bool
                    THEN coalesce(1::float8 / ({FUSION_OFFSET} + n.place), 0)
                       + coalesce(1::float8 / ({FUSION_OFFSET} + w.place), 0)
                    ELSE coalesce(n.similarity, w.share) END AS relevance
        FROM (
            SELECT *, rank() OVER (ORDER BY similarity DESC) AS place FROM near
            UNION ALL SELECT *, rank() OVER (ORDER BY similarity DESC) FROM near_before
        ) AS n
        FULL JOIN (SELECT *, rank() OVER (ORDER BY share DESC) AS place FROM worded) AS w USING (memory_id)
    )
    SELECT {MEMORY}, f.similarity, f.share, f.relevance, t.recency, t.weight,
           f.relevance * t.recency * t.weight AS score
    FROM fused AS f JOIN memory.item AS i USING (memory_id) LEFT JOIN memory.usage AS u USING (memory_id),
    LATERAL (SELECT
        coalesce(0.5 ^ (greatest(0, extract(epoch FROM $5 - i.updated_at)::float8) / $12::float8), 1) AS recency,
        1 + $13::float8 * (i.importance - 0.5) AS weight
    ) AS t
    WHERE {_within(narrowed.user, "i")} AND ($10::float8 IS NULL OR f.relevance * t.recency * t.weight >= $10)
    ORDER BY score DESC, i.created_at DESC, i.memory_id DESC LIMIT $8
    """  # noqa: S608 - made of constants; the model's name is checked by the store


SIMILAR_PARAMETERS = 7


@lru_cache(maxsize=200)
def similar(model: Model, narrowed: Narrowed, paired: int) -> str:
    """$3 agent, $4 kind, $5 now, $6 least similarity, $7 limit."""
    size = model.dimensions
    return f"""
    WITH paired AS MATERIALIZED (
        SELECT i.memory_id, i.agent, e.embedding::halfvec({size}) AS vector
        FROM memory.item AS i JOIN memory.embedding AS e USING (memory_id)
        WHERE {_within(True, "i")} AND {_within(True, "e")} AND e.model = '{model.name}' AND {narrowed.sql}
        ORDER BY i.created_at DESC, i.memory_id DESC LIMIT {paired}
    )
    SELECT one.memory_id AS first, other.memory_id AS second, 1 - (one.vector <=> other.vector) AS similarity
    FROM paired AS one JOIN paired AS other
      ON one.memory_id < other.memory_id AND one.agent IS NOT DISTINCT FROM other.agent
    WHERE 1 - (one.vector <=> other.vector) >= $6::float8
    ORDER BY similarity DESC, one.memory_id, other.memory_id LIMIT $7
    """  # noqa: S608 - made of constants; the model's name is checked by the store


BY_IDS = f"""
    SELECT {MEMORY} FROM memory.item AS i LEFT JOIN memory.usage AS u USING (memory_id)
    WHERE i.tenant = $1 AND i.user_id = $2 AND i.memory_id = ANY($3::text[])
    """  # noqa: S608 - made of constants
