-- Where a memory comes from, what it replaced and by what it was replaced, and when it was deleted.
-- A deleted memory has expired at once (its own expiry waits in expired_before), so that nothing finds it that finds no
-- expired ones; it goes some days later. A superseded one gets another digest, so that its text can be stored again.
ALTER TABLE memory.item
    ADD COLUMN origin         text        NOT NULL DEFAULT 'user',
    ADD COLUMN quarantined    boolean     NOT NULL DEFAULT false,
    ADD COLUMN supersedes     text COLLATE "C",
    ADD COLUMN superseded_by  text COLLATE "C",
    ADD COLUMN deleted_at     timestamptz,
    ADD COLUMN expired_before timestamptz;

CREATE INDEX item_expiry ON memory.item (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE memory.version ADD COLUMN quarantined boolean NOT NULL DEFAULT false;
