-- What stands, in a model's context, for the messages 1 … last_seq of every session that shows that last one: see
-- summarising.py. A summary goes when that message goes.
CREATE TABLE summaries (
    tenant          TEXT    NOT NULL,
    session_id      TEXT    NOT NULL,
    branch          INTEGER NOT NULL,
    last_seq        INTEGER NOT NULL,
    digest          TEXT    NOT NULL,
    -- The summary that this one contains.
    built_on_seq    INTEGER NOT NULL,
    built_on_digest TEXT    NOT NULL,
    made_by         TEXT    NOT NULL,
    tokens_before   INTEGER NOT NULL,
    tokens_after    INTEGER NOT NULL,
    created_at      TEXT    NOT NULL,
    text            TEXT    NOT NULL,
    PRIMARY KEY (tenant, session_id, branch, last_seq),
    FOREIGN KEY (tenant, session_id, branch, last_seq)
        REFERENCES messages (tenant, session_id, branch, seq) ON DELETE CASCADE
) STRICT;
