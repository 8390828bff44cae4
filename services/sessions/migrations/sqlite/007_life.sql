-- State that belongs to a user (`user:` keys) or to everybody of a tenant (`app:` keys, user_id '').
CREATE TABLE shared_state (
    tenant  TEXT    NOT NULL,
    user_id TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant, user_id)
) STRICT, WITHOUT ROWID;

-- As after a purge, nothing of it is to be left in the file.
CREATE TRIGGER purges_of_shared_state AFTER DELETE ON shared_state BEGIN
    INSERT INTO purges (id) VALUES (NULL);
END;

-- Receipts of idempotency keys stand among the turns, as `key:…`. They are removed by age; turns are not in this index.
CREATE INDEX receipts_by_age ON turns (created_at) WHERE substr(turn_id, 1, 4) = 'key:';
