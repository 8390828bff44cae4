-- Which agents took part in a session, with what a list by agent is ordered and limited by.
-- Triggers keep it, so that no write has to think of it; a session without agents costs a look that finds nothing.
CREATE TABLE sessions.session_agents (
    tenant        text COLLATE "C" NOT NULL,
    session_id    text COLLATE "C" NOT NULL,
    agent         text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    lifecycle     text             NOT NULL,
    last_activity timestamptz      NOT NULL,
    PRIMARY KEY (tenant, session_id, agent),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions.sessions ON DELETE CASCADE
);

CREATE INDEX sessions_of_user_by_agent
    ON sessions.session_agents (tenant, user_id, agent, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_tenant_by_agent
    ON sessions.session_agents (tenant, agent, lifecycle, last_activity, session_id);

CREATE FUNCTION sessions.note_agent_of_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessions.session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT tenant, session_id, NEW.agent, user_id, lifecycle, last_activity
    FROM sessions.sessions WHERE tenant = NEW.tenant AND session_id = NEW.session_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION sessions.note_agent_of_invocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessions.session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT tenant, session_id, NEW.agent_name, user_id, lifecycle, last_activity
    FROM sessions.sessions WHERE tenant = NEW.tenant AND session_id = NEW.session_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION sessions.note_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions.session_agents SET lifecycle = NEW.lifecycle, last_activity = NEW.last_activity
    WHERE tenant = NEW.tenant AND session_id = NEW.session_id;
    RETURN NULL;
END $$;

-- Before the rows there are noted, so that nothing written meanwhile is missed.
CREATE TRIGGER agents_of_messages AFTER INSERT ON sessions.messages
    FOR EACH ROW WHEN (NEW.agent IS NOT NULL) EXECUTE FUNCTION sessions.note_agent_of_message();
CREATE TRIGGER agents_of_invocations AFTER INSERT ON sessions.invocations
    FOR EACH ROW EXECUTE FUNCTION sessions.note_agent_of_invocation();
CREATE TRIGGER agents_of_sessions AFTER UPDATE OF lifecycle, last_activity ON sessions.sessions
    FOR EACH ROW WHEN (NEW.lifecycle <> OLD.lifecycle OR NEW.last_activity <> OLD.last_activity)
    EXECUTE FUNCTION sessions.note_activity();

INSERT INTO sessions.session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
SELECT s.tenant, s.session_id, took_part.agent, s.user_id, s.lifecycle, s.last_activity
FROM (SELECT tenant, session_id, agent COLLATE "C" AS agent FROM sessions.messages WHERE agent IS NOT NULL
      UNION SELECT tenant, session_id, agent_name FROM sessions.invocations) AS took_part
JOIN sessions.sessions AS s USING (tenant, session_id)
ON CONFLICT DO NOTHING;
