"""The SQL of the sessions' store in SQLite, by name. In which order values come is in `rows`."""

from datetime import UTC, datetime
from functools import lru_cache

from kit.identity import Reach
from services.sessions.record import Listing, Position

LISTED_COLUMNS = """
    SELECT sessions.tenant, sessions.session_id, sessions.user_id, title, status, sessions.lifecycle, autonomy_level,
           created_at, updated_at, sessions.last_activity, message_count, version, metadata, state,
           sessions.branch, forked_from"""

LISTED = " FROM sessions"

# CROSS JOIN: SQLite keeps this order of the tables, and so the order of the agent's index.
LISTED_BY_AGENT = " FROM session_agents CROSS JOIN sessions USING (tenant, session_id)"

SESSION = """
    SELECT tenant, session_id, user_id, title, status, lifecycle, autonomy_level, created_at, updated_at,
           last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
           lease_expires_at, metadata, state, context, incarnation, branch, lineage, forked_from,
           (SELECT h.state FROM shared_state AS h
            WHERE h.tenant = sessions.tenant AND h.user_id = sessions.user_id) AS user_state,
           (SELECT h.state FROM shared_state AS h WHERE h.tenant = sessions.tenant AND h.user_id = '') AS app_state
    FROM sessions
    WHERE tenant = :tenant AND session_id = :session_id AND (:user IS NULL OR user_id = :user)"""

INSERT_SESSION = """
    INSERT INTO sessions (
        tenant, session_id, user_id, created_at, incarnation, forked_from, title, status, lifecycle, autonomy_level,
        updated_at, last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
        lease_expires_at, metadata, state, context, branch, lineage, first_branch)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

# Of an id that was another session's, some of whose messages a fork still shows; 0 nearly always.
FIRST_BRANCH = "SELECT coalesce(max(branch) + 1, 0) FROM messages WHERE tenant = ? AND session_id = ?"

UPDATE_SESSION = """
    UPDATE sessions SET
        title = ?, status = ?, lifecycle = ?, autonomy_level = ?, updated_at = ?, last_activity = ?,
        message_count = ?, invocation_count = ?, version = ?, last_fencing_token = ?, lease_holder = ?,
        lease_expires_at = ?, metadata = ?, state = ?, context = ?, branch = ?, lineage = ?
    WHERE tenant = ? AND session_id = ?"""

# Narrow, because what is not named need not be made into JSON either.
UPDATE_APPENDED = """
    UPDATE sessions SET
        updated_at = ?, last_activity = ?, message_count = ?, invocation_count = ?, version = ?
    WHERE tenant = ? AND session_id = ?"""

DELETE_SESSION = """
    DELETE FROM sessions
    WHERE tenant = :tenant AND session_id = :session_id AND (:user IS NULL OR user_id = :user)"""

INSERT_MESSAGE = """
    INSERT INTO messages (
        tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
        output_tokens, cost, trace_id, created_at, metadata)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

MESSAGES = """
    SELECT seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens, cost,
           trace_id, created_at, metadata
    FROM messages
    WHERE tenant = ? AND session_id = ? AND branch = ? AND seq > ? AND seq < ?"""

INSERT_UNDO = "INSERT INTO undos (tenant, session_id, branch, at_seq, state, context) VALUES (?, ?, ?, ?, ?, ?)"

INSERT_FIRST_UNDO = """
    INSERT INTO undos (at_seq, state, context, tenant, session_id, branch)
    SELECT ?, ?, ?, tenant, session_id, branch FROM sessions WHERE tenant = ? AND session_id = ?"""

UNDOS = """
    SELECT at_seq, state, context FROM undos
    WHERE tenant = ? AND session_id = ? AND branch = ? AND at_seq > ? AND at_seq <= ? ORDER BY number DESC"""

INSERT_LEFT = """
    INSERT INTO branches (tenant, session_id, branch, lineage, message_count, left_at, state, context)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

LEFT = """
    SELECT branch, lineage, message_count, left_at, state, context FROM branches
    WHERE tenant = ? AND session_id = ? ORDER BY branch"""

INSERT_SHOWN = "INSERT INTO shown (tenant, session_id, branch, last_seq, shown_by) VALUES (?, ?, ?, ?, ?)"

INHERIT_AGENTS = """
    INSERT INTO session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT n.tenant, n.session_id, a.agent, n.user_id, n.lifecycle, n.last_activity
    FROM session_agents AS a JOIN sessions AS n ON n.tenant = a.tenant AND n.session_id = ?
    WHERE a.tenant = ? AND a.session_id = ?"""

INSERT_SUMMARY = """
    INSERT OR REPLACE INTO summaries (
        tenant, session_id, branch, last_seq, digest, built_on_seq, built_on_digest, made_by, tokens_before,
        tokens_after, created_at, text)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

# The last one on a branch up to a message.
SUMMARY = """
    SELECT session_id, branch, last_seq, digest, built_on_seq, built_on_digest, made_by, tokens_before, tokens_after,
           created_at, text
    FROM summaries
    WHERE tenant = ? AND session_id = ? AND branch = ? AND last_seq <= ? ORDER BY last_seq DESC LIMIT 1"""

DELETE_SUMMARY = "DELETE FROM summaries WHERE tenant = ? AND session_id = ? AND branch = ? AND last_seq = ?"

# Tenant by tenant, so that each uses the index of its sessions by activity.
GROWN = """
    WITH RECURSIVE tenants (tenant) AS (
        SELECT coalesce(:tenant, (SELECT min(tenant) FROM sessions WHERE tenant >= :after_tenant))
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM sessions AS s WHERE s.tenant > tenants.tenant) FROM tenants
        WHERE tenants.tenant IS NOT NULL AND :tenant IS NULL),
    active AS (
        SELECT s.tenant, s.session_id, s.branch,
               (SELECT max(y.last_seq) FROM summaries AS y
                WHERE y.tenant = s.tenant AND y.session_id = s.session_id AND y.branch = s.branch) AS covered
        FROM tenants CROSS JOIN sessions AS s
        WHERE s.tenant = tenants.tenant AND s.lifecycle = 'active' AND s.last_activity >= :since
          AND (s.tenant, s.session_id) > (:after_tenant, :after_session))
    SELECT a.tenant, a.session_id FROM active AS a
    WHERE (SELECT sum(length(m.content) + length(m.tool_calls) + length(m.tool_results)) FROM messages AS m
           WHERE m.tenant = a.tenant AND m.session_id = a.session_id AND m.branch = a.branch
             AND m.seq > coalesce(a.covered, 0)) >= :characters
    ORDER BY a.tenant, a.session_id LIMIT :limit"""

INSERT_INVOCATION = """
    INSERT INTO invocations (
        tenant, session_id, number, agent_name, query, response, success, error_message, duration_ms, input_tokens,
        output_tokens, cost, trace_id, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

LAST_INVOCATIONS = """
    SELECT agent_name, query, response, success, error_message, duration_ms, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM invocations
    WHERE tenant = :tenant AND session_id = :session_id
    ORDER BY number DESC LIMIT :limit"""

INSERT_TURN = """
    INSERT INTO turns (tenant, session_id, turn_id, digest, answer, created_at) VALUES (?, ?, ?, ?, ?, ?)"""

TURN = """
    SELECT turn_id, digest, answer, created_at FROM turns
    WHERE tenant = :tenant AND session_id = :session_id AND turn_id = :turn_id"""


SHARED_STATE = "SELECT state FROM shared_state WHERE tenant = ? AND user_id = ?"

KEEP_SHARED_STATE = """
    INSERT INTO shared_state (tenant, user_id, state, version) VALUES (?, ?, ?, 1)
    ON CONFLICT (tenant, user_id) DO UPDATE SET state = excluded.state, version = version + 1"""

FORGET_SHARED_STATE = "DELETE FROM shared_state WHERE tenant = ? AND user_id = ?"

DROP_RECEIPTS = """
    DELETE FROM turns WHERE rowid IN (
        SELECT rowid FROM turns INDEXED BY receipts_by_age
        WHERE substr(turn_id, 1, 4) = 'key:' AND created_at < ? ORDER BY created_at LIMIT ?)"""

# From one tenant to the next by the index: none of their sessions is looked at.
TENANTS = """
    WITH RECURSIVE tenants (tenant) AS (
        SELECT (SELECT min(s.tenant) FROM sessions AS s WHERE s.tenant > ?)
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM sessions AS s WHERE s.tenant > tenants.tenant) FROM tenants
        WHERE tenants.tenant IS NOT NULL)
    SELECT tenant FROM tenants WHERE tenant IS NOT NULL LIMIT ?"""


def count_query(reach: Reach, listing: Listing, limit: int) -> tuple[str, list[str | int]]:
    query, values = page_query(reach, listing, None, limit, of="SELECT 1")
    return f"SELECT count(*) FROM ({query})", values  # noqa: S608 - the query is one of ours, its values are bound


def page_query(
    reach: Reach, listing: Listing, after: Position | None, limit: int, *, of: str = LISTED_COLUMNS
) -> tuple[str, list[str | int]]:
    """Conditions are left out, not made optional in SQL, so that each way to list uses its own index."""
    tables, places = of + LISTED, "sessions"
    where, values = ["{places}.tenant = ?", "{places}.lifecycle = ?"], [reach.tenant, listing.lifecycle.value]

    def require(condition: str, *wanted: str | datetime) -> None:
        where.append(condition)
        values.extend(text_of(each) if isinstance(each, datetime) else each for each in wanted)

    if listing.agent is not None:
        tables, places = of + LISTED_BY_AGENT, "session_agents"
        require("session_agents.agent = ?", listing.agent)
    if reach.user is not None:
        require("{places}.user_id = ?", reach.user)
    if listing.status is not None:
        require("sessions.status = ?", listing.status.value)
    if listing.since is not None:
        require("{places}.last_activity >= ?", listing.since)
    if listing.until is not None:
        require("{places}.last_activity < ?", listing.until)
    if after is not None:
        require("({places}.last_activity, {places}.session_id) < (?, ?)", after.last_activity, after.session_id)
    order = "{places}.last_activity DESC, {places}.session_id DESC"
    query = f"{tables} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"
    return query.replace("{places}", places), [*values, limit]


@lru_cache(maxsize=64)  # what is written at once bears the same time, nearly always
def text_of(time: datetime) -> str:
    in_utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")
