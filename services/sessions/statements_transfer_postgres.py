"""The SQL of exports and imports in Postgres that the store itself has no use for."""

INVOCATIONS = """
    SELECT agent_name, query, response, success, error_message, duration_ms, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM sessions.invocations
    WHERE tenant = $1 AND session_id = $2 AND number > $3 ORDER BY number LIMIT $4"""

# Receipts of idempotency keys are not exported.
TURNS = """
    SELECT turn_id, digest, answer, created_at FROM sessions.turns
    WHERE tenant = $1 AND session_id = $2 AND turn_id > $3 AND turn_id LIKE 'turn-%' ORDER BY turn_id LIMIT $4"""

FIRST_BRANCH = "SELECT coalesce(max(branch) + 1, 0) FROM sessions.messages WHERE tenant = $1 AND session_id = $2"

# Which branches are its own: the insert takes for granted that a new session writes to its first one.
BRANCHES_FROM = """
    UPDATE sessions.sessions SET branch = $3, first_branch = $4 WHERE tenant = $1 AND session_id = $2"""

INSERT_MESSAGE = """
    INSERT INTO sessions.messages (
        tenant, session_id, branch, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens,
        output_tokens, cost, trace_id, created_at, metadata)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"""

INSERT_INVOCATION = """
    INSERT INTO sessions.invocations (
        tenant, session_id, number, agent_name, query, response, success, error_message, duration_ms, input_tokens,
        output_tokens, cost, trace_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""

INSERT_TURN = """
    INSERT INTO sessions.turns (tenant, session_id, turn_id, digest, answer, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)"""

INSERT_UNDO = """
    INSERT INTO sessions.undos (tenant, session_id, branch, at_seq, state, context)
    VALUES ($1, $2, $3, $4, $5, $6)"""
