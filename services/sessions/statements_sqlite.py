"""The SQL of the sessions' store in SQLite, by name. In which order values come is in `rows`."""

from datetime import UTC, datetime

from bureau_contracts.sessions import Lifecycle, SessionStatus
from kit.identity import Reach
from services.sessions.record import Position

LISTED = """
    SELECT tenant, session_id, user_id, title, status, lifecycle, autonomy_level, created_at, updated_at,
           last_activity, message_count, version, metadata, state
    FROM sessions"""

SESSION = """
    SELECT tenant, session_id, user_id, title, status, lifecycle, autonomy_level, created_at, updated_at,
           last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
           lease_expires_at, metadata, state, context, incarnation
    FROM sessions
    WHERE tenant = :tenant AND session_id = :session_id AND (:user IS NULL OR user_id = :user)"""

INSERT_SESSION = """
    INSERT INTO sessions (
        tenant, session_id, user_id, created_at, incarnation, title, status, lifecycle, autonomy_level, updated_at,
        last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
        lease_expires_at, metadata, state, context)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

UPDATE_SESSION = """
    UPDATE sessions SET
        title = ?, status = ?, lifecycle = ?, autonomy_level = ?, updated_at = ?, last_activity = ?,
        message_count = ?, invocation_count = ?, version = ?, last_fencing_token = ?, lease_holder = ?,
        lease_expires_at = ?, metadata = ?, state = ?, context = ?
    WHERE tenant = ? AND session_id = ?"""

DELETE_SESSION = """
    DELETE FROM sessions
    WHERE tenant = :tenant AND session_id = :session_id AND (:user IS NULL OR user_id = :user)"""

INSERT_MESSAGE = """
    INSERT INTO messages (
        tenant, session_id, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
        output_tokens, cost, trace_id, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

MESSAGES = """
    SELECT seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM messages
    WHERE tenant = :tenant AND session_id = :session_id AND seq > :after AND seq < :before"""

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


def page_query(
    reach: Reach, lifecycle: Lifecycle, status: SessionStatus | None, after: Position | None, limit: int
) -> tuple[str, list[str | int]]:
    """Conditions are left out, not made optional in SQL, so that each way to list uses its own index."""
    where, values = ["tenant = ?", "lifecycle = ?"], [reach.tenant, lifecycle.value]
    if reach.user is not None:
        where.append("user_id = ?")
        values.append(reach.user)
    if status is not None:
        where.append("status = ?")
        values.append(status.value)
    if after is not None:
        where.append("(last_activity, session_id) < (?, ?)")
        values += [text_of(after.last_activity), after.session_id]
    query = f"{LISTED} WHERE {' AND '.join(where)} ORDER BY last_activity DESC, session_id DESC LIMIT ?"
    return query, [*values, limit]


def text_of(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")
