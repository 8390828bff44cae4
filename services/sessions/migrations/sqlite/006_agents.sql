-- Which agents took part in a session, with what a list by agent is ordered and limited by.
-- Triggers keep it, so that no write has to think of it; a session without agents costs a look that finds nothing.
CREATE TABLE session_agents (
    tenant        TEXT NOT NULL,
    session_id    TEXT NOT NULL,
    agent         TEXT NOT NULL,
    user_id       TEXT NOT NULL,
    lifecycle     TEXT NOT NULL,
    last_activity TEXT NOT NULL,
    PRIMARY KEY (tenant, session_id, agent),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_user_by_agent
    ON session_agents (tenant, user_id, agent, lifecycle, last_activity, session_id);
CREATE INDEX sessions_of_tenant_by_agent
    ON session_agents (tenant, agent, lifecycle, last_activity, session_id);

INSERT INTO session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
SELECT s.tenant, s.session_id, took_part.agent, s.user_id, s.lifecycle, s.last_activity
FROM (SELECT tenant, session_id, agent FROM messages WHERE agent IS NOT NULL
      UNION SELECT tenant, session_id, agent_name FROM invocations) AS took_part
JOIN sessions AS s USING (tenant, session_id);

CREATE TRIGGER agents_of_messages AFTER INSERT ON messages WHEN new.agent IS NOT NULL BEGIN
    INSERT OR IGNORE INTO session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT tenant, session_id, new.agent, user_id, lifecycle, last_activity FROM sessions
    WHERE tenant = new.tenant AND session_id = new.session_id;
END;

CREATE TRIGGER agents_of_invocations AFTER INSERT ON invocations BEGIN
    INSERT OR IGNORE INTO session_agents (tenant, session_id, agent, user_id, lifecycle, last_activity)
    SELECT tenant, session_id, new.agent_name, user_id, lifecycle, last_activity FROM sessions
    WHERE tenant = new.tenant AND session_id = new.session_id;
END;

CREATE TRIGGER agents_of_sessions AFTER UPDATE OF lifecycle, last_activity ON sessions
WHEN new.lifecycle <> old.lifecycle OR new.last_activity <> old.last_activity BEGIN
    UPDATE session_agents SET lifecycle = new.lifecycle, last_activity = new.last_activity
    WHERE tenant = new.tenant AND session_id = new.session_id;
END;
