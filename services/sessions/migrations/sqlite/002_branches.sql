-- Messages stand on branches of the session that wrote them; a session shows those of its own branch and, before them,
-- what its lineage names: [[session_id, branch, last_seq], …]. See branches.py.
-- A message stays as long as any session shows it, so it no longer goes with the session that wrote it by a foreign key.
ALTER TABLE sessions ADD COLUMN branch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN lineage TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN forked_from TEXT;
-- Of a session whose id was another's before, some of whose messages a fork still shows.
ALTER TABLE sessions ADD COLUMN first_branch INTEGER NOT NULL DEFAULT 0;

CREATE TABLE branched_messages (
    id            INTEGER PRIMARY KEY,
    tenant        TEXT    NOT NULL,
    session_id    TEXT    NOT NULL,
    branch        INTEGER NOT NULL DEFAULT 0,
    seq           INTEGER NOT NULL CHECK (seq > 0),
    message_id    TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    agent         TEXT,
    content       TEXT    NOT NULL,
    tool_calls    TEXT    NOT NULL,
    tool_results  TEXT    NOT NULL,
    input_tokens  INTEGER,
    output_tokens INTEGER,
    cost          REAL,
    trace_id      TEXT,
    created_at    TEXT    NOT NULL,
    metadata      TEXT    NOT NULL DEFAULT '{}',
    UNIQUE (tenant, session_id, branch, seq)
) STRICT;

INSERT INTO branched_messages (
    tenant, session_id, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens,
    cost, trace_id, created_at)
SELECT tenant, session_id, seq, message_id, role, agent, content, tool_calls, tool_results, input_tokens, output_tokens,
       cost, trace_id, created_at
FROM messages ORDER BY tenant, session_id, seq;

DROP TABLE messages;
ALTER TABLE branched_messages RENAME TO messages;

-- What a session showed until it was rewound.
CREATE TABLE branches (
    tenant        TEXT    NOT NULL,
    session_id    TEXT    NOT NULL,
    branch        INTEGER NOT NULL,
    lineage       TEXT    NOT NULL,
    message_count INTEGER NOT NULL,
    left_at       TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    context       TEXT    NOT NULL,
    PRIMARY KEY (tenant, session_id, branch),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT;

-- What changes of state and context replaced.
CREATE TABLE undos (
    number     INTEGER PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    session_id TEXT    NOT NULL,
    branch     INTEGER NOT NULL,
    at_seq     INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    context    TEXT
) STRICT;

CREATE INDEX undos_of_branch ON undos (tenant, session_id, branch, at_seq);

-- Which other sessions show messages of a branch, and how far.
CREATE TABLE shown (
    tenant     TEXT    NOT NULL,
    session_id TEXT    NOT NULL,
    branch     INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    shown_by   TEXT    NOT NULL,
    PRIMARY KEY (tenant, session_id, branch, shown_by)
) STRICT, WITHOUT ROWID;

CREATE INDEX shown_by_session ON shown (tenant, shown_by);

-- With a session goes what it alone showed: its own messages, and those of sessions that are gone already.
CREATE TRIGGER messages_of_nobody AFTER DELETE ON sessions BEGIN
    DELETE FROM messages WHERE id IN (
        SELECT m.id FROM (
            SELECT old.session_id AS session_id, -1 AS branch
            UNION ALL
            SELECT s.session_id, s.branch FROM shown AS s
            WHERE s.tenant = old.tenant AND s.shown_by = old.session_id AND NOT EXISTS (
                SELECT 1 FROM sessions AS w
                WHERE w.tenant = s.tenant AND w.session_id = s.session_id AND w.first_branch <= s.branch)
        ) AS gone
        JOIN messages AS m
          ON m.tenant = old.tenant AND m.session_id = gone.session_id AND gone.branch IN (-1, m.branch)
        WHERE NOT EXISTS (
            SELECT 1 FROM shown AS s
            WHERE s.tenant = m.tenant AND s.session_id = m.session_id AND s.branch = m.branch
              AND s.shown_by <> old.session_id AND m.seq <= s.last_seq));
    DELETE FROM undos WHERE number IN (
        SELECT u.number FROM (
            SELECT old.session_id AS session_id, -1 AS branch
            UNION ALL
            SELECT s.session_id, s.branch FROM shown AS s
            WHERE s.tenant = old.tenant AND s.shown_by = old.session_id AND NOT EXISTS (
                SELECT 1 FROM sessions AS w
                WHERE w.tenant = s.tenant AND w.session_id = s.session_id AND w.first_branch <= s.branch)
        ) AS gone
        JOIN undos AS u
          ON u.tenant = old.tenant AND u.session_id = gone.session_id AND gone.branch IN (-1, u.branch)
        WHERE NOT EXISTS (
            SELECT 1 FROM shown AS s
            WHERE s.tenant = u.tenant AND s.session_id = u.session_id AND s.branch = u.branch
              AND s.shown_by <> old.session_id AND u.at_seq <= s.last_seq));
    DELETE FROM shown WHERE tenant = old.tenant AND shown_by = old.session_id;
END;
