-- Times are UTC text of one width (2026-01-02T03:04:05.000000+00:00), so that they sort as they stand.
-- Wide columns stand last: a list that does not want them does not read them.
CREATE TABLE sessions (
    tenant             TEXT    NOT NULL,
    session_id         TEXT    NOT NULL,
    user_id            TEXT    NOT NULL,
    title              TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    lifecycle          TEXT    NOT NULL,
    autonomy_level     TEXT    NOT NULL,
    created_at         TEXT    NOT NULL,
    updated_at         TEXT    NOT NULL,
    last_activity      TEXT    NOT NULL,
    message_count      INTEGER NOT NULL,
    invocation_count   INTEGER NOT NULL,
    version            INTEGER NOT NULL,
    last_fencing_token INTEGER NOT NULL,
    lease_holder       TEXT,
    lease_expires_at   TEXT,
    metadata           TEXT    NOT NULL,
    state              TEXT    NOT NULL,
    context            TEXT    NOT NULL,
    -- The tenant comes first everywhere: an id says nothing about other tenants.
    PRIMARY KEY (tenant, session_id)
) STRICT;

-- One index for each way to list: of a user or of a tenant, with a status or without, each in the list's order.
CREATE INDEX sessions_of_user ON sessions (tenant, user_id, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_user_by_status ON sessions (tenant, user_id, lifecycle, status, last_activity, session_id);
CREATE INDEX sessions_of_tenant ON sessions (tenant, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_tenant_by_status ON sessions (tenant, lifecycle, status, last_activity, session_id);

CREATE TABLE messages (
    tenant        TEXT    NOT NULL,
    session_id    TEXT    NOT NULL,
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
    PRIMARY KEY (tenant, session_id, seq),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT;

CREATE TABLE invocations (
    tenant        TEXT    NOT NULL,
    session_id    TEXT    NOT NULL,
    number        INTEGER NOT NULL CHECK (number > 0),
    agent_name    TEXT    NOT NULL,
    query         TEXT    NOT NULL,
    response      TEXT    NOT NULL,
    success       INTEGER NOT NULL CHECK (success IN (0, 1)),
    error_message TEXT,
    duration_ms   REAL    NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost          REAL,
    trace_id      TEXT,
    created_at    TEXT    NOT NULL,
    PRIMARY KEY (tenant, session_id, number),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT;

CREATE TABLE turns (
    tenant     TEXT NOT NULL,
    session_id TEXT NOT NULL,
    turn_id    TEXT NOT NULL,
    digest     TEXT NOT NULL,
    answer     TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, turn_id),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT;
