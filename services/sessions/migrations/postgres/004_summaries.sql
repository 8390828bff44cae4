-- What stands, in a model's context, for the messages 1 … last_seq of every session that shows that last one: see
-- summarising.py. A summary goes when that message goes.
CREATE TABLE sessions.summaries (
    tenant          text COLLATE "C" NOT NULL,
    session_id      text COLLATE "C" NOT NULL,
    branch          bigint           NOT NULL,
    last_seq        bigint           NOT NULL,
    digest          text             NOT NULL,
    -- The summary that this one contains.
    built_on_seq    bigint           NOT NULL,
    built_on_digest text             NOT NULL,
    made_by         text             NOT NULL,
    tokens_before   bigint           NOT NULL,
    tokens_after    bigint           NOT NULL,
    created_at      timestamptz      NOT NULL,
    text            text             NOT NULL,
    PRIMARY KEY (tenant, session_id, branch, last_seq),
    FOREIGN KEY (tenant, session_id, branch, last_seq)
        REFERENCES sessions.messages (tenant, session_id, branch, seq) ON DELETE CASCADE
);
