"""The SQL of `search_pgvector.py`."""

from functools import cache, lru_cache

from services.memory.statements import MEMORY, Model, Narrowed, within
from services.memory.store import FUSION_OFFSET

# ts_rank of words without positions is this times the share of the query's words that are there
# (weight D is 0.1, and π²/6 normalises): src/backend/utils/adt/tsrank.c, calc_rank_or.
_RANK_OF_ALL = "0.0607927"

SEARCH_PARAMETERS = 13
SIMILAR_PARAMETERS = 7
"""So many come before those of `Narrowed.more`."""

VECTOR_INDEX = """
CREATE INDEX IF NOT EXISTS "embedding_{model}" ON memory.embedding
USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WHERE model = '{model}'
"""

SMALL_TABLE = 8000
"""Of a table with n times as many rows, the root of n times as many are still few: an index scan under a filter passes
over as many rows as there are others to each that it looks for, and one in the index takes as long as some forty of
those that are compared one after the other."""

SCAN_INDEX = """
SET LOCAL hnsw.iterative_scan = relaxed_order;
SET LOCAL hnsw.ef_search = {ef_search};
SET LOCAL hnsw.max_scan_tuples = {patience};
SET LOCAL plan_cache_mode = force_custom_plan
"""
"""Before a search that is not exact: whether an index pays depends on the words. Planning costs half a millisecond."""


@cache
def beginning(one_user: bool) -> str:
    """How many memories are few ($3 of a small table), how many are within reach (counting stops where they are no
    longer few), and what looks for the words $4 in the language $5."""
    return f"""
    WITH size AS MATERIALIZED (
        SELECT ceil($3::float8 * sqrt(greatest(1, reltuples / {SMALL_TABLE})))::bigint AS few
        FROM pg_class WHERE oid = 'memory.item'::regclass
    )
    SELECT few, memory.any_of($4::text[], $5) AS any_of, (
        SELECT coalesce(sum(items), 0)::bigint FROM (
            SELECT o.items FROM memory.owner AS o WHERE {within(one_user, "o")} LIMIT (SELECT few + 1 FROM size)
        ) AS counted
    ) AS within
    FROM size
    """  # noqa: S608 - made of constants


def _near(model: Model, vector: str, narrowed: Narrowed, exact: bool, candidates: int, only: str = "") -> str:
    # An exact search reads the owner's rows by index on both sides; beside an index scan the same condition twice
    # would make the planner expect so few rows that it leaves the index.
    reach = f"{within(narrowed.user, 'e')} AND {within(narrowed.user, 'i')}" if exact else within(narrowed.user, "e")
    size = model.dimensions
    distance = f"e.embedding::halfvec({size}) <=> (SELECT {vector}::real[]::halfvec({size}))"
    return f"""
        SELECT memory_id, 1 - ({distance}) AS similarity
        FROM memory.embedding AS e JOIN memory.item AS i USING (memory_id)
        WHERE {vector}::real[] IS NOT NULL AND e.model = '{model.name}' AND {reach} AND {narrowed.sql} {only}
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
    parameter, because a plan made without knowing it expects many. Each row says how many vectors were found near, and
    there is one that says only this when nothing was found.
    """
    return f"""
    WITH near AS MATERIALIZED ({_near(model, "$6", narrowed, exact, candidates)}
    ), near_before AS MATERIALIZED ({_near_before(model, previous, narrowed, exact, candidates)}
    ), worded AS MATERIALIZED (
        SELECT memory_id, round((rank / {_RANK_OF_ALL})::numeric, 4)::float8 AS share
        FROM (  -- equal shares have equal ranks, and rounding all that have a word takes longer than ranking them
            SELECT i.memory_id, ts_rank(i.words, $7::tsquery) AS rank
            FROM memory.item AS i
            WHERE i.words @@ $7::tsquery AND {within(narrowed.user, "i")} AND {narrowed.sql}
            ORDER BY rank DESC, i.created_at DESC, i.memory_id DESC LIMIT {candidates}
        ) AS ranked
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
    SELECT found.*, scanned.near FROM (SELECT count(*) AS near FROM near) AS scanned LEFT JOIN LATERAL (
        SELECT {MEMORY}, f.similarity, f.share, f.relevance, t.recency, t.weight,
               f.relevance * t.recency * t.weight AS score
        FROM fused AS f JOIN memory.item AS i USING (memory_id) LEFT JOIN memory.usage AS u USING (memory_id),
        LATERAL (SELECT
            coalesce(0.5 ^ (greatest(0, extract(epoch FROM $5 - i.updated_at)::float8) / $12::float8), 1) AS recency,
            1 + $13::float8 * (i.importance - 0.5) AS weight
        ) AS t
        WHERE {within(narrowed.user, "i")} AND ($10::float8 IS NULL OR f.relevance * t.recency * t.weight >= $10)
        ORDER BY score DESC, i.created_at DESC, i.memory_id DESC LIMIT $8
    ) AS found ON true
    ORDER BY score DESC, created_at DESC, memory_id DESC
    """  # noqa: S608 - made of constants; the model's name is checked by the store


@lru_cache(maxsize=200)
def similar(model: Model, narrowed: Narrowed, paired: int) -> str:
    """$3 agent, $4 kind, $5 now, $6 least similarity, $7 limit."""
    size = model.dimensions
    return f"""
    WITH paired AS MATERIALIZED (
        SELECT i.memory_id, i.agent, e.embedding::halfvec({size}) AS vector
        FROM memory.item AS i JOIN memory.embedding AS e USING (memory_id)
        WHERE {within(True, "i")} AND {within(True, "e")} AND e.model = '{model.name}' AND {narrowed.sql}
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
