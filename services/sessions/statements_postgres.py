"""The SQL of the sessions' store in Postgres, by name. In which order values come is in `rows`."""

from datetime import datetime

from kit.identity import Reach
from services.sessions.record import Listing, Position

LISTED_COLUMNS = """
    SELECT s.tenant, s.session_id, s.user_id, title, status, s.lifecycle, autonomy_level, created_at, updated_at,
           s.last_activity, message_count, version, metadata, state"""

LISTED = LISTED_COLUMNS + " FROM sessions.sessions AS s"

LISTED_BY_AGENT = (
    LISTED_COLUMNS + " FROM sessions.session_agents AS a JOIN sessions.sessions AS s USING (tenant, session_id)"
)

SESSION = """
    SELECT tenant, session_id, user_id, title, status, lifecycle, autonomy_level, created_at, updated_at,
           last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
           lease_expires_at, metadata, state, context, incarnation, revision
    FROM sessions.sessions
    WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR user_id = $3)"""

LOCK_SESSION = SESSION + " FOR UPDATE"

INSERT_SESSION = """
    INSERT INTO sessions.sessions (
        tenant, session_id, user_id, created_at, incarnation, title, status, lifecycle, autonomy_level, updated_at,
        last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
        lease_expires_at, metadata, state, context)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"""

# All of a change in one statement: one round trip, whole or not at all. `revision` is the guard: when somebody else
# changed the session since it was read, nothing is updated and so nothing is inserted.
WRITE = """
    WITH session AS (
        UPDATE sessions.sessions SET
            title = $1, status = $2, lifecycle = $3, autonomy_level = $4, updated_at = $5, last_activity = $6,
            message_count = $7, invocation_count = $8, version = $9, last_fencing_token = $10, lease_holder = $11,
            lease_expires_at = $12, metadata = $13, state = $14, context = $15, revision = nextval('sessions.revisions')
        WHERE tenant = $16 AND session_id = $17 AND revision = $18
        RETURNING session_id),
    messages AS (
        INSERT INTO sessions.messages (
            tenant, session_id, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
            output_tokens, cost, trace_id, created_at)
        SELECT new.* FROM session, unnest(
            $19::text[], $20::text[], $21::bigint[], $22::text[], $23::text[], $24::text[], $25::json[],
            $26::json[], $27::json[], $28::bigint[], $29::bigint[], $30::double precision[], $31::text[],
            $32::timestamptz[]) AS new),
    invocations AS (
        INSERT INTO sessions.invocations (
            tenant, session_id, number, agent_name, query, response, success, error_message, duration_ms, input_tokens,
            output_tokens, cost, trace_id, created_at)
        SELECT new.* FROM session, unnest(
            $33::text[], $34::text[], $35::bigint[], $36::text[], $37::text[], $38::text[], $39::boolean[],
            $40::text[], $41::double precision[], $42::bigint[], $43::bigint[], $44::double precision[], $45::text[],
            $46::timestamptz[]) AS new),
    turns AS (
        INSERT INTO sessions.turns (tenant, session_id, turn_id, digest, answer, created_at)
        SELECT new.* FROM session, unnest(
            $47::text[], $48::text[], $49::text[], $50::text[], $51::json[], $52::timestamptz[]) AS new)
    SELECT count(*) FROM session"""

MESSAGE_COLUMNS, INVOCATION_COLUMNS, TURN_COLUMNS = 14, 14, 6

DELETE_SESSION = """
    DELETE FROM sessions.sessions
    WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR user_id = $3)
    RETURNING session_id"""

MESSAGES = """
    SELECT seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM sessions.messages
    WHERE tenant = $1 AND session_id = $2 AND seq > $3 AND seq < $4"""

LAST_INVOCATIONS = """
    SELECT agent_name, query, response, success, error_message, duration_ms, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM sessions.invocations
    WHERE tenant = $1 AND session_id = $2
    ORDER BY number DESC LIMIT $3"""

TURN = """
    SELECT turn_id, digest, answer, created_at FROM sessions.turns
    WHERE tenant = $1 AND session_id = $2 AND turn_id = $3"""


def page_query(
    reach: Reach, listing: Listing, after: Position | None, limit: int
) -> tuple[str, list[str | int | datetime]]:
    """Conditions are left out, not made optional in SQL, so that each way to list uses its own index."""
    tables, places = LISTED, "s"
    values: list[str | int | datetime] = [reach.tenant, listing.lifecycle.value, limit]
    where = ["{places}.tenant = $1", "{places}.lifecycle = $2"]

    def require(condition: str, *wanted: str | datetime) -> None:
        first = len(values) + 1
        values.extend(wanted)
        where.append(condition.replace("?1", f"${first}").replace("?2", f"${first + 1}"))

    if listing.agent is not None:
        tables, places = LISTED_BY_AGENT, "a"
        require("a.agent = ?1", listing.agent)
    if reach.user is not None:
        require("{places}.user_id = ?1", reach.user)
    if listing.status is not None:
        require("s.status = ?1", listing.status.value)
    if listing.since is not None:
        require("{places}.last_activity >= ?1", listing.since)
    if listing.until is not None:
        require("{places}.last_activity < ?1", listing.until)
    if after is not None:
        require("({places}.last_activity, {places}.session_id) < (?1, ?2)", after.last_activity, after.session_id)
    order = "{places}.last_activity DESC, {places}.session_id DESC"
    query = f"{tables} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT $3"
    return query.replace("{places}", places), values
