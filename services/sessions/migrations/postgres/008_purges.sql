-- With a session goes what it alone showed (as in 002_branches.sql). Of two that are purged at the same time and show the
-- same messages, the later one waits for the other, and then sees that it is gone; else both would leave them.
CREATE OR REPLACE FUNCTION sessions.forget_messages_of_nobody() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone record;
BEGIN
    -- In one order, so that none waits for one that waits for it.
    PERFORM FROM sessions.shown AS s
    JOIN (SELECT OLD.session_id AS session_id, NULL::bigint AS branch
          UNION ALL
          SELECT mine.session_id, mine.branch FROM sessions.shown AS mine
          WHERE mine.tenant = OLD.tenant AND mine.shown_by = OLD.session_id) AS place
      ON s.session_id = place.session_id AND (place.branch IS NULL OR s.branch = place.branch)
    WHERE s.tenant = OLD.tenant
    ORDER BY s.session_id, s.branch, s.shown_by
    FOR UPDATE OF s;
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
