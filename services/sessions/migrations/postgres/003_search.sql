-- Full-text search. What is indexed of a message is worked out by the service (module `words`), each word once, with
-- tokens that say whose it is. A message waits here without words until it is indexed: whoever writes it, an older
-- version of the service too, it is not missed.
CREATE TABLE sessions.message_words (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    branch     bigint           NOT NULL,
    seq        bigint           NOT NULL,
    words      tsvector
);

CREATE UNIQUE INDEX words_of_message ON sessions.message_words (tenant, session_id, branch, seq);
CREATE INDEX words_of_messages ON sessions.message_words USING gin (words);
CREATE INDEX messages_without_words ON sessions.message_words (id) WHERE words IS NULL;

CREATE FUNCTION sessions.await_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessions.message_words (tenant, session_id, branch, seq)
    SELECT tenant, session_id, branch, seq FROM added ORDER BY seq
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION sessions.forget_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM sessions.message_words AS w USING gone
    WHERE (w.tenant, w.session_id, w.branch, w.seq) = (gone.tenant, gone.session_id, gone.branch, gone.seq);
    RETURN NULL;
END $$;

-- Before the rows there are noted, so that nothing written meanwhile is missed.
CREATE TRIGGER words_of_new_messages AFTER INSERT ON sessions.messages
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION sessions.await_words();
CREATE TRIGGER words_of_gone_messages AFTER DELETE ON sessions.messages
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sessions.forget_words();

INSERT INTO sessions.message_words (tenant, session_id, branch, seq)
SELECT tenant, session_id, branch, seq FROM sessions.messages ORDER BY created_at, seq
ON CONFLICT DO NOTHING;
