"""The SQL of the index of messages in Postgres, by name."""

from collections.abc import Sequence

from kit.identity import Reach

FIELDS = """
           w.id AS place, m.tenant, m.session_id, m.branch, m.seq, m.message_id, m.role, m.agent, m.content,
           m.tool_calls, m.tool_results, m.input_tokens, m.output_tokens, m.cost, m.trace_id, m.created_at, m.metadata,
           s.user_id, s.session_id AS shown_in, s.branch AS shown_branch, s.lineage, s.message_count, s.last_activity"""

# Of every session that may show a message: the one that wrote it, unless its id is now another's, and those that were
# forked or rewound beyond it.
SHOWN = """
    JOIN sessions.messages AS m USING (tenant, session_id, branch, seq)
    CROSS JOIN LATERAL (
        SELECT y.session_id AS id FROM sessions.sessions AS y
        WHERE y.tenant = m.tenant AND y.session_id = m.session_id AND y.first_branch <= m.branch
        UNION
        SELECT x.shown_by FROM sessions.shown AS x
        WHERE x.tenant = m.tenant AND x.session_id = m.session_id AND x.branch = m.branch AND m.seq <= x.last_seq
    ) AS viewer
    JOIN sessions.sessions AS s ON s.tenant = m.tenant AND s.session_id = viewer.id"""

WITH_WORDS = "SELECT" + FIELDS + " FROM sessions.message_words AS w" + SHOWN

LINEAGE = "SELECT lineage FROM sessions.sessions WHERE tenant = $1 AND session_id = $2"

# Whoever indexes takes what nobody else is indexing.
TAKEN = """
    WITH w AS (
        SELECT * FROM sessions.message_words WHERE words IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    SELECT DISTINCT ON (w.id)"""
UNINDEXED = TAKEN + FIELDS + " FROM w" + SHOWN + " ORDER BY w.id"
ARE_WAITING = "SELECT EXISTS (SELECT 1 FROM sessions.message_words WHERE words IS NULL)"

# `string_to_array`, because tokens have no spaces and an array of arrays must not be ragged.
INDEX = """
    UPDATE sessions.message_words AS w SET words = array_to_tsvector(string_to_array(new.words, ' '))
    FROM unnest($1::bigint[], $2::text[]) AS new (id, words)
    WHERE w.id = new.id"""


def find_query(
    reach: Reach, tokens: Sequence[str], sessions: Sequence[str], session_id: str | None, before: int | None, limit: int
) -> tuple[str, list[str | int]]:
    """Messages that have all of `tokens` and one of `sessions`, if there are any.

    Tokens hold letters, digits and colons alone, so that none can be anything but a quoted lexeme.
    """
    wanted = [f"'{token}'" for token in tokens]
    if sessions:
        either = " | ".join(f"'{token}'" for token in sessions)
        wanted.append(f"({either})")
    where = ["w.words @@ $2::tsquery", "s.tenant = $1"]
    values: list[str | int] = [reach.tenant, " & ".join(wanted), limit]
    for condition, value in (("s.user_id = ", reach.user), ("s.session_id = ", session_id), ("w.id < ", before)):
        if value is not None:
            values.append(value)
            where.append(f"{condition}${len(values)}")
    return f"{WITH_WORDS} WHERE {' AND '.join(where)} ORDER BY w.id DESC LIMIT $3", values
