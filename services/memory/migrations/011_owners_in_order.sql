-- Owners are locked in one order by what removes memories too: a purge of many owners' and additions of many owners' at
-- once would otherwise wait for each other.
CREATE OR REPLACE FUNCTION memory.count_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM memory.owner AS o
    WHERE (o.tenant, o.user_id) IN (SELECT tenant, user_id FROM changed)
    ORDER BY o.tenant, o.user_id FOR UPDATE;
    UPDATE memory.owner AS o SET items = o.items - c.gone
    FROM (SELECT tenant, user_id, count(*) AS gone FROM changed GROUP BY tenant, user_id) AS c
    WHERE o.tenant = c.tenant AND o.user_id = c.user_id;
    -- Whoever was erased is not named here either.
    DELETE FROM memory.owner AS o USING changed AS c
    WHERE o.tenant = c.tenant AND o.user_id = c.user_id AND o.items <= 0;
    RETURN NULL;
END $$;
