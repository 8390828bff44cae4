-- Messages stand on branches of the session that wrote them; a session shows those of its own branch and, before them,
-- what its lineage names: [[session_id, branch, last_seq], …]. See branches.py.
-- A message stays as long as any session shows it, so it no longer goes with the session that wrote it by a foreign key.
-- Costs one index build over the messages while they cannot be written.
ALTER TABLE sessions.sessions
    ADD COLUMN branch       bigint NOT NULL DEFAULT 0,
    ADD COLUMN lineage      json   NOT NULL DEFAULT '[]',
    ADD COLUMN forked_from  text COLLATE "C",
    -- Of a session whose id was another's before, some of whose messages a fork still shows.
    ADD COLUMN first_branch bigint NOT NULL DEFAULT 0;

ALTER TABLE sessions.messages
    ADD COLUMN branch   bigint NOT NULL DEFAULT 0,
    ADD COLUMN metadata json   NOT NULL DEFAULT '{}';
ALTER TABLE sessions.messages
    DROP CONSTRAINT messages_tenant_session_id_fkey,
    DROP CONSTRAINT messages_pkey,
    ADD PRIMARY KEY (tenant, session_id, branch, seq);

-- What a session showed until it was rewound.
CREATE TABLE sessions.branches (
    tenant        text COLLATE "C" NOT NULL,
    session_id    text COLLATE "C" NOT NULL,
    branch        bigint           NOT NULL,
    lineage       json             NOT NULL,
    message_count bigint           NOT NULL,
    left_at       timestamptz      NOT NULL,
    state         json             NOT NULL,
    context       json             NOT NULL,
    PRIMARY KEY (tenant, session_id, branch),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions.sessions ON DELETE CASCADE
);

-- What changes of state and context replaced.
CREATE TABLE sessions.undos (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    branch     bigint           NOT NULL,
    at_seq     bigint           NOT NULL,
    state      json             NOT NULL,
    context    json
);

CREATE INDEX undos_of_branch ON sessions.undos (tenant, session_id, branch, at_seq);

-- Which other sessions show messages of a branch, and how far.
CREATE TABLE sessions.shown (
    tenant     text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    branch     bigint           NOT NULL,
    last_seq   bigint           NOT NULL,
    shown_by   text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, session_id, branch, shown_by)
);

CREATE INDEX shown_by_session ON sessions.shown (tenant, shown_by);

-- With a session goes what it alone showed: its own messages, and those of sessions that are gone already.
CREATE FUNCTION sessions.forget_messages_of_nobody() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone record;
BEGIN
    FOR gone IN
        SELECT OLD.session_id AS session_id, NULL::bigint AS branch
        UNION ALL
        SELECT s.session_id, s.branch FROM sessions.shown AS s
        WHERE s.tenant = OLD.tenant AND s.shown_by = OLD.session_id AND NOT EXISTS (
            SELECT FROM sessions.sessions AS w
            WHERE w.tenant = s.tenant AND w.session_id = s.session_id AND w.first_branch <= s.branch)
    LOOP
        DELETE FROM sessions.messages AS m
        WHERE m.tenant = OLD.tenant AND m.session_id = gone.session_id
          AND (gone.branch IS NULL OR m.branch = gone.branch)
          AND NOT EXISTS (
              SELECT FROM sessions.shown AS s
              WHERE s.tenant = m.tenant AND s.session_id = m.session_id AND s.branch = m.branch
                AND s.shown_by <> OLD.session_id AND m.seq <= s.last_seq);
        DELETE FROM sessions.undos AS u
        WHERE u.tenant = OLD.tenant AND u.session_id = gone.session_id
          AND (gone.branch IS NULL OR u.branch = gone.branch)
          AND NOT EXISTS (
              SELECT FROM sessions.shown AS s
              WHERE s.tenant = u.tenant AND s.session_id = u.session_id AND s.branch = u.branch
                AND s.shown_by <> OLD.session_id AND u.at_seq <= s.last_seq);
    END LOOP;
    DELETE FROM sessions.shown WHERE tenant = OLD.tenant AND shown_by = OLD.session_id;
    RETURN NULL;
END $$;

CREATE TRIGGER messages_of_nobody AFTER DELETE ON sessions.sessions
    FOR EACH ROW EXECUTE FUNCTION sessions.forget_messages_of_nobody();
