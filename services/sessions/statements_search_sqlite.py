"""The SQL of the index of messages in SQLite, by name."""

from collections.abc import Sequence

from kit.identity import Reach

COLUMNS = """
    SELECT m.id AS place, m.tenant, m.session_id, m.branch, m.seq, m.message_id, m.role, m.agent, m.content,
           m.tool_calls, m.tool_results, m.input_tokens, m.output_tokens, m.cost, m.trace_id, m.created_at, m.metadata,
           s.user_id, s.session_id AS shown_in, s.branch AS shown_branch, s.lineage, s.message_count, s.last_activity"""

# Of every session that may show a message: the one that wrote it, unless its id is now another's, and those that were
# forked or rewound beyond it.
SHOWN = """
    CROSS JOIN sessions AS s ON s.tenant = m.tenant AND s.session_id IN (
        SELECT y.session_id FROM sessions AS y
        WHERE y.tenant = m.tenant AND y.session_id = m.session_id AND y.first_branch <= m.branch
        UNION ALL
        SELECT x.shown_by FROM shown AS x
        WHERE x.tenant = m.tenant AND x.session_id = m.session_id AND x.branch = m.branch AND m.seq <= x.last_seq)"""

UNINDEXED = (
    COLUMNS
    + " FROM unindexed AS u CROSS JOIN messages AS m ON m.id = u.id"
    + SHOWN
    + " GROUP BY u.id ORDER BY u.id LIMIT ?"
)

WITH_WORDS = COLUMNS + " FROM message_words AS w CROSS JOIN messages AS m ON m.id = w.rowid" + SHOWN

LINEAGE = "SELECT lineage FROM sessions WHERE tenant = :tenant AND session_id = :session_id"

IS_THERE = "SELECT 1 FROM messages WHERE id = ? AND message_id = ?"
INDEX = "INSERT OR REPLACE INTO message_words (rowid, words) VALUES (?, ?)"
INDEXED = "DELETE FROM unindexed WHERE id = ?"

UNERASED = "SELECT id FROM unerased ORDER BY id LIMIT ?"
ERASE_WORDS = "DELETE FROM message_words WHERE rowid = ?"
NOT_TO_ERASE = "DELETE FROM unerased WHERE id = ?"

LAST_PURGE = "SELECT max(id) FROM purges"
PURGES_DONE = "DELETE FROM purges WHERE id <= ?"
MERGE = "INSERT INTO message_words (message_words, rank) VALUES ('merge', ?)"


def find_query(
    reach: Reach, tokens: Sequence[str], sessions: Sequence[str], session_id: str | None, before: int | None, limit: int
) -> tuple[str, list[str | int]]:
    """Messages that have all of `tokens` and one of `sessions`, if there are any.

    Tokens hold letters, digits and colons alone, so that none can be anything but a quoted string of FTS5's.
    """
    wanted = [f'"{token}"' for token in tokens]
    if sessions:
        either = " OR ".join(f'"{token}"' for token in sessions)
        wanted.append(f"({either})")
    where = ["message_words MATCH ?", "s.tenant = ?"]
    values: list[str | int] = [" AND ".join(wanted), reach.tenant]
    for condition, value in (("s.user_id = ?", reach.user), ("s.session_id = ?", session_id), ("w.rowid < ?", before)):
        if value is not None:
            where.append(condition)
            values.append(value)
    return f"{WITH_WORDS} WHERE {' AND '.join(where)} ORDER BY w.rowid DESC LIMIT ?", [*values, limit]
