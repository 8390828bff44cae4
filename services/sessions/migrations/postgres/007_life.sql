-- State that belongs to a user (`user:` keys) or to everybody of a tenant (`app:` keys, user_id '').
CREATE TABLE sessions.shared_state (
    tenant  text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    state   json             NOT NULL,
    version bigint           NOT NULL,
    PRIMARY KEY (tenant, user_id)
);

-- Receipts of idempotency keys stand among the turns, as `key:…`. They are removed by age; turns are not in this index.
CREATE INDEX receipts_by_age ON sessions.turns (created_at) WHERE left(turn_id, 4) = 'key:';
