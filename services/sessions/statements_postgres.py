"""The SQL of the sessions' store in Postgres, by name. In which order values come is in `rows`."""

from datetime import datetime

from kit.identity import Reach
from services.sessions.record import Listing, Position

LISTED_COLUMNS = """
    SELECT s.tenant, s.session_id, s.user_id, title, status, s.lifecycle, autonomy_level, created_at, updated_at,
           s.last_activity, message_count, version, metadata, state, s.branch, forked_from"""

LISTED = " FROM sessions.sessions AS s"

LISTED_BY_AGENT = " FROM sessions.session_agents AS a JOIN sessions.sessions AS s USING (tenant, session_id)"

SESSION = """
    SELECT tenant, session_id, user_id, title, status, lifecycle, autonomy_level, created_at, updated_at,
           last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
           lease_expires_at, metadata, state, context, incarnation, branch, lineage, forked_from, revision,
           (SELECT h.state FROM sessions.shared_state AS h
            WHERE h.tenant = s.tenant AND h.user_id = s.user_id) AS user_state,
           (SELECT h.state FROM sessions.shared_state AS h
            WHERE h.tenant = s.tenant AND h.user_id = '') AS app_state
    FROM sessions.sessions AS s
    WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR user_id = $3)"""

LOCK_SESSION = SESSION + " FOR UPDATE"

INSERT_SESSION = """
    INSERT INTO sessions.sessions (
        tenant, session_id, user_id, created_at, incarnation, forked_from, title, status, lifecycle, autonomy_level,
        updated_at, last_activity, message_count, invocation_count, version, last_fencing_token, lease_holder,
        lease_expires_at, metadata, state, context, lineage, branch, first_branch)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
           $23, first_branch.number, first_branch.number
    -- Of an id that was another session's, some of whose messages a fork still shows; 0 nearly always.
    FROM (SELECT greatest($22, coalesce(max(branch) + 1, 0)) AS number FROM sessions.messages
          WHERE tenant = $1 AND session_id = $2) AS first_branch"""

# All of a change in one statement: one round trip, whole or not at all. `revision` is the guard: when somebody else
# changed the session since it was read, nothing is updated and so nothing is inserted.
WRITE = """
    WITH session AS (
        UPDATE sessions.sessions SET
            title = $1, status = $2, lifecycle = $3, autonomy_level = $4, updated_at = $5, last_activity = $6,
            message_count = $7, invocation_count = $8, version = $9, last_fencing_token = $10, lease_holder = $11,
            lease_expires_at = $12, metadata = $13, state = $14, context = $15, branch = $16, lineage = $17,
            revision = nextval('sessions.revisions')
        WHERE tenant = $18 AND session_id = $19 AND revision = $20
        RETURNING revision),
    messages AS (
        INSERT INTO sessions.messages (
            tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
            output_tokens, cost, trace_id, created_at, metadata)
        SELECT new.* FROM session, unnest(
            $21::text[], $22::text[], $23::bigint[], $24::bigint[], $25::text[], $26::text[], $27::text[],
            $28::json[], $29::json[], $30::json[], $31::bigint[], $32::bigint[], $33::double precision[], $34::text[],
            $35::timestamptz[], $36::json[]) AS new),
    invocations AS (
        INSERT INTO sessions.invocations (
            tenant, session_id, number, agent_name, query, response, success, error_message, duration_ms, input_tokens,
            output_tokens, cost, trace_id, created_at)
        SELECT new.* FROM session, unnest(
            $37::text[], $38::text[], $39::bigint[], $40::text[], $41::text[], $42::text[], $43::boolean[],
            $44::text[], $45::double precision[], $46::bigint[], $47::bigint[], $48::double precision[], $49::text[],
            $50::timestamptz[]) AS new),
    turns AS (
        INSERT INTO sessions.turns (tenant, session_id, turn_id, digest, answer, created_at)
        SELECT new.* FROM session, unnest(
            $51::text[], $52::text[], $53::text[], $54::text[], $55::json[], $56::timestamptz[]) AS new),
    undos AS (
        INSERT INTO sessions.undos (tenant, session_id, branch, at_seq, state, context)
        SELECT new.* FROM session, unnest(
            $57::text[], $58::text[], $59::bigint[], $60::bigint[], $61::json[], $62::json[]) AS new)
    SELECT revision FROM session"""

# Appends to many sessions, each guarded by its revision. One that somebody else is changing is left to its caller, so
# that nobody waits for anybody, in a circle least of all.
APPEND = """
    WITH wanted AS (
        SELECT * FROM unnest(
            $1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[])
        AS new (tenant, session_id, revision, updated_at, last_activity, message_count, version)),
    unchanged AS (
        SELECT s.tenant, s.session_id FROM wanted JOIN sessions.sessions AS s USING (tenant, session_id, revision)
        FOR NO KEY UPDATE OF s SKIP LOCKED),
    session AS (
        UPDATE sessions.sessions AS s SET
            updated_at = wanted.updated_at, last_activity = wanted.last_activity,
            message_count = wanted.message_count, version = wanted.version, revision = nextval('sessions.revisions')
        FROM wanted JOIN unchanged USING (tenant, session_id)
        WHERE s.tenant = wanted.tenant AND s.session_id = wanted.session_id AND s.revision = wanted.revision
        RETURNING s.tenant, s.session_id, s.revision),
    messages AS (
        INSERT INTO sessions.messages (
            tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
            output_tokens, cost, trace_id, created_at, metadata)
        SELECT new.* FROM unnest(
            $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::text[],
            $15::json[], $16::json[], $17::json[], $18::bigint[], $19::bigint[], $20::double precision[], $21::text[],
            $22::timestamptz[], $23::json[])
        AS new (
            tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
            output_tokens, cost, trace_id, created_at, metadata)
        JOIN session USING (tenant, session_id))
    SELECT tenant, session_id, revision FROM session"""

MESSAGE_COLUMNS, INVOCATION_COLUMNS, TURN_COLUMNS, UNDO_COLUMNS = 16, 14, 6, 6

DELETE_SESSION = """
    DELETE FROM sessions.sessions
    WHERE tenant = $1 AND session_id = $2 AND ($3::text IS NULL OR user_id = $3)
    RETURNING session_id"""

MESSAGES = """
    SELECT seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens, cost,
           trace_id, created_at, metadata
    FROM sessions.messages
    WHERE tenant = $1 AND session_id = $2 AND branch = $3 AND seq > $4 AND seq < $5"""

INSERT_FIRST_UNDO = """
    INSERT INTO sessions.undos (at_seq, state, context, tenant, session_id, branch)
    SELECT $1, $2, $3, tenant, session_id, branch FROM sessions.sessions WHERE tenant = $4 AND session_id = $5"""

UNDOS = """
    SELECT at_seq, state, context FROM sessions.undos
    WHERE tenant = $1 AND session_id = $2 AND branch = $3 AND at_seq > $4 AND at_seq <= $5 ORDER BY number DESC"""

INSERT_LEFT = """
    INSERT INTO sessions.branches (tenant, session_id, branch, lineage, message_count, left_at, state, context)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""

LEFT = """
    SELECT branch, lineage, message_count, left_at, state, context FROM sessions.branches
    WHERE tenant = $1 AND session_id = $2 ORDER BY branch"""

INSERT_SHOWN = """
    INSERT INTO sessions.shown (tenant, session_id, branch, last_seq, shown_by) VALUES ($1, $2, $3, $4, $5)"""

INHERIT_AGENTS = """
    INSERT INTO sessions.session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT n.tenant, n.session_id, a.agent, n.user_id, n.lifecycle, n.last_activity
    FROM sessions.session_agents AS a JOIN sessions.sessions AS n ON n.tenant = a.tenant AND n.session_id = $1
    WHERE a.tenant = $2 AND a.session_id = $3"""

INSERT_SUMMARY = """
    INSERT INTO sessions.summaries (
        tenant, session_id, branch, last_seq, digest, built_on_seq, built_on_digest, made_by, tokens_before,
        tokens_after, created_at, text)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (tenant, session_id, branch, last_seq) DO UPDATE SET
        digest = excluded.digest, built_on_seq = excluded.built_on_seq, built_on_digest = excluded.built_on_digest,
        made_by = excluded.made_by, tokens_before = excluded.tokens_before, tokens_after = excluded.tokens_after,
        created_at = excluded.created_at, text = excluded.text"""

# The last one on a branch up to a message.
SUMMARY = """
    SELECT session_id, branch, last_seq, digest, built_on_seq, built_on_digest, made_by, tokens_before, tokens_after,
           created_at, text
    FROM sessions.summaries
    WHERE tenant = $1 AND session_id = $2 AND branch = $3 AND last_seq <= $4 ORDER BY last_seq DESC LIMIT 1"""

DELETE_SUMMARY = """
    DELETE FROM sessions.summaries WHERE tenant = $1 AND session_id = $2 AND branch = $3 AND last_seq = $4"""

# Tenant by tenant, so that each uses the index of its sessions by activity.
GROWN = """
    WITH RECURSIVE tenants (tenant) AS (
        SELECT coalesce($1::text, (SELECT min(tenant) FROM sessions.sessions WHERE tenant >= $4)) COLLATE "C"
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM sessions.sessions AS s WHERE s.tenant > tenants.tenant) FROM tenants
        WHERE tenants.tenant IS NOT NULL AND $1::text IS NULL)
    SELECT a.tenant, a.session_id
    FROM tenants
    CROSS JOIN LATERAL (
        SELECT s.tenant, s.session_id, s.branch,
               (SELECT max(y.last_seq) FROM sessions.summaries AS y
                WHERE y.tenant = s.tenant AND y.session_id = s.session_id AND y.branch = s.branch) AS covered
        FROM sessions.sessions AS s
        WHERE s.tenant = tenants.tenant AND s.lifecycle = 'active' AND s.last_activity >= $2
          AND (s.tenant, s.session_id) > ($4, $5)) AS a
    WHERE (SELECT sum(length(m.content::text) + length(m.tool_calls::text) + length(m.tool_results::text))
           FROM sessions.messages AS m
           WHERE m.tenant = a.tenant AND m.session_id = a.session_id AND m.branch = a.branch
             AND m.seq > coalesce(a.covered, 0)) >= $3
    ORDER BY a.tenant, a.session_id LIMIT $6"""

LAST_INVOCATIONS = """
    SELECT agent_name, query, response, success, error_message, duration_ms, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM sessions.invocations
    WHERE tenant = $1 AND session_id = $2
    ORDER BY number DESC LIMIT $3"""

TURN = """
    SELECT turn_id, digest, answer, created_at FROM sessions.turns
    WHERE tenant = $1 AND session_id = $2 AND turn_id = $3"""


INSERT_TURN = """
    INSERT INTO sessions.turns (tenant, session_id, turn_id, digest, answer, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)"""

# Locks it, so that nobody else's keys are lost between this and what is written next; made when there is none.
LOCK_SHARED_STATE = """
    INSERT INTO sessions.shared_state AS h (tenant, user_id, state, version) VALUES ($1, $2, '{}', 1)
    ON CONFLICT (tenant, user_id) DO UPDATE SET version = h.version + 1
    RETURNING state"""

KEEP_SHARED_STATE = "UPDATE sessions.shared_state SET state = $3 WHERE tenant = $1 AND user_id = $2"

FORGET_SHARED_STATE = "DELETE FROM sessions.shared_state WHERE tenant = $1 AND user_id = $2 RETURNING user_id"

# Rows that another replica is removing are left to it.
DROP_RECEIPTS = """
    WITH dropped AS (
        DELETE FROM sessions.turns WHERE (tenant, session_id, turn_id) IN (
            SELECT tenant, session_id, turn_id FROM sessions.turns
            WHERE left(turn_id, 4) = 'key:' AND created_at < $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING turn_id)
    SELECT count(*) FROM dropped"""

# From one tenant to the next by the index: none of their sessions is looked at.
TENANTS = """
    WITH RECURSIVE tenants (tenant) AS (
        SELECT (SELECT min(s.tenant) FROM sessions.sessions AS s WHERE s.tenant > $1)
        UNION ALL
        SELECT (SELECT min(s.tenant) FROM sessions.sessions AS s WHERE s.tenant > tenants.tenant) FROM tenants
        WHERE tenants.tenant IS NOT NULL)
    SELECT tenant FROM tenants WHERE tenant IS NOT NULL LIMIT $2"""


def count_query(reach: Reach, listing: Listing, limit: int) -> tuple[str, list[str | int | datetime]]:
    query, values = page_query(reach, listing, None, limit, of="SELECT 1")
    return f"SELECT count(*) FROM ({query}) AS found", values  # noqa: S608 - as above, of our own pieces


def page_query(
    reach: Reach, listing: Listing, after: Position | None, limit: int, *, of: str = LISTED_COLUMNS
) -> tuple[str, list[str | int | datetime]]:
    """Conditions are left out, not made optional in SQL, so that each way to list uses its own index."""
    tables, places = of + LISTED, "s"
    values: list[str | int | datetime] = [reach.tenant, listing.lifecycle.value, limit]
    where = ["{places}.tenant = $1", "{places}.lifecycle = $2"]

    def require(condition: str, *wanted: str | datetime) -> None:
        first = len(values) + 1
        values.extend(wanted)
        where.append(condition.replace("?1", f"${first}").replace("?2", f"${first + 1}"))

    if listing.agent is not None:
        tables, places = of + LISTED_BY_AGENT, "a"
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
