-- Which memories a search gave to whom, and whether they helped. A purged memory is named here no longer.
CREATE TABLE memory.search (
    use_id      text COLLATE "C" PRIMARY KEY,
    tenant      text NOT NULL,
    user_id     text NOT NULL,
    trace_id    text NOT NULL,
    agent       text,
    query       text NOT NULL,
    searched_at timestamptz NOT NULL
);
CREATE INDEX search_trace ON memory.search (tenant, trace_id);
CREATE INDEX search_of_user ON memory.search (tenant, user_id);
CREATE INDEX search_age ON memory.search (searched_at);

CREATE TABLE memory.given (
    use_id      text COLLATE "C" NOT NULL REFERENCES memory.search ON DELETE CASCADE,
    memory_id   text COLLATE "C" NOT NULL REFERENCES memory.item ON DELETE CASCADE,
    place       integer NOT NULL,
    score       double precision NOT NULL,
    helped      boolean,
    note        text NOT NULL DEFAULT '',
    reported_at timestamptz,
    PRIMARY KEY (use_id, memory_id)
);
CREATE INDEX given_memory ON memory.given (memory_id);
