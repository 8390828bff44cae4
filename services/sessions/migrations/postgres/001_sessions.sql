-- `json`, not `jsonb`: what callers send is kept as they wrote it, the order of its keys included.
-- Identifiers compare by byte (COLLATE "C"): quicker, and the same on every machine.
CREATE SEQUENCE sessions.revisions CACHE 100;

CREATE TABLE sessions.sessions (
    tenant             text COLLATE "C" NOT NULL,
    session_id         text COLLATE "C" NOT NULL,
    user_id            text COLLATE "C" NOT NULL,
    title              text             NOT NULL,
    status             text             NOT NULL,
    lifecycle          text             NOT NULL,
    autonomy_level     text             NOT NULL,
    created_at         timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    last_activity      timestamptz      NOT NULL,
    message_count      bigint           NOT NULL,
    invocation_count   bigint           NOT NULL,
    version            bigint           NOT NULL,
    last_fencing_token bigint           NOT NULL,
    lease_holder       text,
    lease_expires_at   timestamptz,
    metadata           json             NOT NULL,
    state              json             NOT NULL,
    context            json             NOT NULL,
    -- Another number after every write: whoever read the row sees by it that somebody else changed it since.
    revision           bigint           NOT NULL DEFAULT nextval('sessions.revisions'),
    -- The tenant comes first everywhere: an id says nothing about other tenants.
    PRIMARY KEY (tenant, session_id)
);

-- One index for each way to list: of a user or of a tenant, with a status or without, each in the list's order.
CREATE INDEX sessions_of_user
    ON sessions.sessions (tenant, user_id, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_user_by_status
    ON sessions.sessions (tenant, user_id, lifecycle, status, last_activity, session_id);
CREATE INDEX sessions_of_tenant
    ON sessions.sessions (tenant, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_tenant_by_status
    ON sessions.sessions (tenant, lifecycle, status, last_activity, session_id);

CREATE TABLE sessions.messages (
    tenant        text COLLATE "C" NOT NULL,
    session_id    text COLLATE "C" NOT NULL,
    seq           bigint           NOT NULL CHECK (seq > 0),
    message_id    text             NOT NULL,
    role          text             NOT NULL,
    agent         text,
    content       json             NOT NULL,
    tool_calls    json             NOT NULL,
    tool_results  json             NOT NULL,
    input_tokens  bigint,
    output_tokens bigint,
    cost          double precision,
    trace_id      text,
    created_at    timestamptz      NOT NULL,
    PRIMARY KEY (tenant, session_id, seq),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions.sessions ON DELETE CASCADE
);

CREATE TABLE sessions.invocations (
    tenant        text COLLATE "C" NOT NULL,
    session_id    text COLLATE "C" NOT NULL,
    number        bigint           NOT NULL CHECK (number > 0),
    agent_name    text             NOT NULL,
    query         text             NOT NULL,
    response      text             NOT NULL,
    success       boolean          NOT NULL,
    error_message text,
    duration_ms   double precision NOT NULL,
    input_tokens  bigint           NOT NULL,
    output_tokens bigint           NOT NULL,
    cost          double precision,
    trace_id      text,
    created_at    timestamptz      NOT NULL,
    PRIMARY KEY (tenant, session_id, number),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions.sessions ON DELETE CASCADE
);

CREATE TABLE sessions.turns (
    tenant     text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    turn_id    text COLLATE "C" NOT NULL,
    digest     text             NOT NULL,
    answer     json             NOT NULL,
    created_at timestamptz      NOT NULL,
    PRIMARY KEY (tenant, session_id, turn_id),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions.sessions ON DELETE CASCADE
);
