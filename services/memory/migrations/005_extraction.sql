-- Which messages of a conversation were read for memories, and what came of it: IDs and numbers, no text.
CREATE TABLE memory.extraction (
    tenant       text NOT NULL,
    user_id      text NOT NULL,
    session_id   text NOT NULL,
    begun_at     timestamptz NOT NULL,  -- a session that was begun anew under its ID is another
    tool_results boolean NOT NULL,
    from_seq     bigint NOT NULL,
    to_seq       bigint NOT NULL,
    digest       bytea NOT NULL,        -- of what the messages said
    answer       jsonb NOT NULL,
    read_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant, user_id, session_id, begun_at, tool_results, from_seq, to_seq)
);
