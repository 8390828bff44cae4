"""The SQL of `search_pgvector.py`."""

from dataclasses import dataclass
from functools import cache, lru_cache

from services.memory.statements import MEMORY, Model, Narrowed, within
from services.memory.store import FUSION_OFFSET, MOST_HALF_LIVES
from services.memory.word_weights import MOST_FORMS, SAMPLED, SLICES

WORD_SLOTS = (8, 16, 32, MOST_FORMS)
"""A statement ranks by up to so many forms of words: a few sizes, as each is a statement with a plan of its own."""

SEARCH_PARAMETERS = 15
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

_UNPACKED = "i.words || ''::tsvector AS words"
"""Large ones are compressed; this does away with it once, and not once a word."""

SCAN_INDEX = """
SET LOCAL hnsw.iterative_scan = relaxed_order;
SET LOCAL hnsw.ef_search = {ef_search};
SET LOCAL hnsw.max_scan_tuples = {patience};
SET LOCAL plan_cache_mode = force_custom_plan
"""
"""Before a search that is not exact: whether an index pays depends on the words. Planning costs half a millisecond."""


@dataclass(frozen=True, slots=True)
class Shape:
    """For what the statement of a search is made."""

    model: Model
    previous: Model | None
    narrowed: Narrowed
    candidates: int
    """No parameter, because a plan made without knowing it expects many."""
    forms: int = 0
    """Up to so many forms of words; with 0 the ranking by them is switched off."""
    exact: bool = True
    """Compares all vectors within reach (the 0 that is added keeps the index out of it); otherwise the model's HNSW
    index is scanned."""
    read_all: bool = True
    """The words of all within reach; otherwise their index is asked, which has everybody's."""


def slots_for(forms: int) -> int:
    return next(size for size in (0, *WORD_SLOTS) if size >= forms)


@cache
def beginning(one_user: bool) -> str:
    """How many memories are few ($3 of a small table), and how many are within reach. Counting stops where there are as
    many owners as memories are few: then all there are may be."""
    return f"""
    WITH size AS MATERIALIZED (
        SELECT greatest(0, reltuples) AS memories,
               ceil($3::float8 * sqrt(greatest(1, reltuples / {SMALL_TABLE})))::bigint AS few
        FROM pg_class WHERE oid = 'memory.item'::regclass
    ), counted AS (
        SELECT count(*) AS owners, coalesce(sum(items), 0)::bigint AS items FROM (
            SELECT o.items FROM memory.owner AS o WHERE {within(one_user, "o")} LIMIT (SELECT few + 1 FROM size)
        ) AS looked_at
    )
    SELECT few, CASE WHEN owners > few THEN greatest(items, memories::bigint) ELSE items END AS within
    FROM size, counted
    """  # noqa: S608 - made of constants


@cache
def asked(one_user: bool, all_of_them: bool) -> str:
    """Of each of the words $3 in the language $4 its forms, how many of some memories within reach have one of them,
    and how many these are; $5 now. Some are all, or SLICES out of the time in which they were stored."""
    within_reach = f"{within(one_user, 'i')} AND (i.expires_at IS NULL OR i.expires_at > $5::timestamptz)"
    sample = f"SELECT {_UNPACKED} FROM memory.item AS i WHERE {within_reach} LIMIT {SAMPLED}"  # noqa: S608 - made of constants
    if not all_of_them:
        sample = f"""
            SELECT DISTINCT ON (memory_id) words FROM (
                SELECT min(created_at) AS first, max(created_at) AS last FROM memory.item AS i WHERE {within_reach}
            ) AS span, generate_series(0, {SLICES - 1}) AS slice, LATERAL (
                SELECT i.memory_id, {_UNPACKED} FROM memory.item AS i
                WHERE {within_reach} AND i.created_at >= first + (last - first) * slice / {SLICES}
                ORDER BY i.created_at, i.memory_id LIMIT {SAMPLED // SLICES}
            ) AS sliced
        """  # noqa: S608 - made of constants
    return f"""
    WITH sample AS MATERIALIZED ({sample}), asked AS MATERIALIZED (
        SELECT place, forms, array_to_string(forms, ' | ')::tsquery AS any_form FROM memory.asked($3::text[], $4)
    )
    SELECT forms, (SELECT count(*) FROM sample WHERE words @@ any_form) AS count, sampled
    FROM asked, (SELECT count(*) AS sampled FROM sample) AS counted ORDER BY place
    """  # noqa: S608 - made of constants


def _near(shape: Shape, model: Model, vector: str, only: str = "") -> str:
    narrowed, size = shape.narrowed, model.dimensions
    distance = f"e.embedding::halfvec({size}) <=> (SELECT {vector}::real[]::halfvec({size}))"
    vectors = f"{vector}::real[] IS NOT NULL AND e.model = '{model.name}' AND {within(narrowed.user, 'e')} {only}"
    if shape.exact and (shape.read_all or narrowed.user):
        source = _joined(vectors, narrowed)
    else:
        # Beside an index scan the same reach twice would make the planner expect so few rows that it leaves the index.
        reach = within(narrowed.user, "i") if shape.exact else "true"
        source = f"memory.embedding AS e JOIN memory.item AS i USING (memory_id) WHERE {vectors} AND {reach}"
        source += f" AND {narrowed.sql}"
    return f"""
        SELECT memory_id, 1 - ({distance}) AS similarity FROM {source}
        ORDER BY ({distance}) {"+ 0" if shape.exact else ""} LIMIT {shape.candidates}
    """  # noqa: S608 - made of constants; the model's name is checked by the store


def _joined(vectors: str, narrowed: Narrowed) -> str:
    """What is within reach, read by index on both sides. An owner that stored much since the last ANALYZE is taken for
    one of a row or two, and then each row would be compared with each; a full join is never made like that."""
    return f"""(
            SELECT memory_id, e.embedding FROM (
                SELECT memory_id, embedding FROM memory.embedding AS e WHERE {vectors} OFFSET 0
            ) AS e FULL JOIN (
                SELECT memory_id, true AS meant FROM memory.item AS i
                WHERE {within(narrowed.user, "i")} AND {narrowed.sql} OFFSET 0
            ) AS i USING (memory_id)
            WHERE coalesce(i.meant AND e.embedding IS NOT NULL, false)
        ) AS e"""  # noqa: S608 - made of constants


def _near_before(shape: Shape) -> str:
    """What only the previous model has a vector of. Its similarities are on another scale: it has places of its own."""
    if shape.previous is None:
        return _nothing("similarity", "$11::real[]")
    only = f"""AND NOT EXISTS (
            SELECT FROM memory.embedding AS n WHERE n.memory_id = e.memory_id AND n.model = '{shape.model.name}'
        )"""
    return _near(shape, shape.previous, "$11", only)


def _worded(shape: Shape) -> str:
    if not shape.forms:
        return _nothing("share", "$7::text", "$14::text[]", "$15::bigint[]")
    numbers = range(1, shape.forms + 1)
    worth = " + ".join(f"CASE WHEN words @@ form{n} THEN ($15::bigint[])[{n}] ELSE 0 END" for n in numbers)
    forms = ", ".join(f"($14::text[])[{n}]::tsquery AS form{n}" for n in numbers)
    has_one = "words @@ $7::text::tsquery"
    return f"""
        SELECT memory_id, round(worth / (SELECT sum(each) FROM unnest($15::bigint[]) AS each), 4)::float8 AS share
        FROM (
            SELECT memory_id, created_at, {worth} AS worth FROM (
                SELECT i.memory_id, i.created_at, {_UNPACKED} FROM memory.item AS i
                WHERE {within(shape.narrowed.user, "i")} AND {shape.narrowed.sql}
                  AND {"true" if shape.read_all else f"i.{has_one}"} OFFSET 0
            ) AS item, (SELECT {forms} OFFSET 0) AS asked
            WHERE {has_one}
            ORDER BY worth DESC, created_at DESC, memory_id DESC LIMIT {shape.candidates}
        ) AS ranked
    """  # noqa: S608 - made of constants


def _nothing(value: str, *unused: str) -> str:
    """A ranking that is switched off; it names parameters that nothing else does."""
    never = " AND ".join(f"{each} IS NOT NULL" for each in unused)
    return f"SELECT NULL::text AS memory_id, NULL::float8 AS {value} WHERE {never} AND false"


@lru_cache(maxsize=500)
def search(shape: Shape) -> str:
    """$3 agent, $4 kind, $5 now, $6 vector, $7 what has one of the words, $8 k, $9 whether to fuse, $10 least score,
    $11 vector by the previous model, $12 half-life in seconds, $13 weight of importance, $14 forms of words, $15 what
    each is worth.

    A vector that is NULL switches its ranking off. Each row says how many vectors were found near, of both models, and
    there is one that says only this when nothing was found.
    """
    return f"""
    WITH near AS MATERIALIZED ({_near(shape, shape.model, "$6")}
    ), near_before AS MATERIALIZED ({_near_before(shape)}
    ), worded AS MATERIALIZED ({_worded(shape)}
    ), fused AS (
        SELECT memory_id, n.similarity, w.share,
               CASE WHEN $9::bool
                    THEN coalesce(1::float8 / ({FUSION_OFFSET} + n.place), 0)
                       + coalesce(w.share / ({FUSION_OFFSET} + w.place), 0)
                    ELSE coalesce(n.similarity, w.share) END AS relevance
        FROM (
            SELECT *, rank() OVER (ORDER BY similarity DESC) AS place FROM near
            UNION ALL SELECT *, rank() OVER (ORDER BY similarity DESC) FROM near_before
        ) AS n
        FULL JOIN (SELECT *, rank() OVER (ORDER BY share DESC) AS place FROM worded) AS w USING (memory_id)
    )
    SELECT found.*, scanned.near FROM (
        SELECT (SELECT count(*) FROM near) + (SELECT count(*) FROM near_before) AS near
    ) AS scanned LEFT JOIN LATERAL (
        SELECT {MEMORY}, f.similarity, f.share, f.relevance, t.recency, t.weight,
               f.relevance * t.recency * t.weight AS score
        FROM fused AS f JOIN memory.item AS i USING (memory_id) LEFT JOIN memory.usage AS u USING (memory_id),
        LATERAL (SELECT
            CASE WHEN $12::float8 IS NULL THEN 1 ELSE 0.5 ^ least({MOST_HALF_LIVES},
                greatest(0, extract(epoch FROM $5 - i.updated_at)::float8) / $12) END AS recency,
            1 + $13::float8 * (i.importance - 0.5) AS weight
        ) AS t
        WHERE {within(shape.narrowed.user, "i")} AND ($10::float8 IS NULL OR f.relevance * t.recency * t.weight >= $10)
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
        WHERE {within(True, "i")} AND e.model = '{model.name}' AND {narrowed.sql}
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
