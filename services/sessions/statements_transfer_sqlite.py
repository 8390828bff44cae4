"""The SQL of exports from SQLite that the store itself has no use for."""

INVOCATIONS = """
    SELECT agent_name, query, response, success, error_message, duration_ms, input_tokens, output_tokens, cost,
           trace_id, created_at
    FROM invocations
    WHERE tenant = ? AND session_id = ? AND number > ? ORDER BY number LIMIT ?"""

# Receipts of idempotency keys are not exported.
TURNS = """
    SELECT turn_id, digest, answer, created_at FROM turns
    WHERE tenant = ? AND session_id = ? AND turn_id > ? AND turn_id LIKE 'turn-%' ORDER BY turn_id LIMIT ?"""
