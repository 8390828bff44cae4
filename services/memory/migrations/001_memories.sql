-- Memories, their vectors, their former versions and their use. Applied with the schema "memory" in place.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE memory.item (
    memory_id       text COLLATE "C" PRIMARY KEY,
    tenant          text NOT NULL,
    user_id         text NOT NULL,
    agent           text,
    session_id      text,
    source_seqs     bigint[] NOT NULL,
    text            text NOT NULL,
    digest          bytea NOT NULL,     -- of the normalised text
    words           tsvector NOT NULL,  -- distinct words as wording.py reads them, the same for texts and queries
    kind            text NOT NULL,
    metadata        jsonb NOT NULL,
    importance      double precision NOT NULL,
    valid_from      timestamptz NOT NULL,
    valid_to        timestamptz,
    expires_at      timestamptz,
    embedding_model text NOT NULL,      -- whose vector belongs to the text as it is now
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);

-- An owner has a text once.
CREATE UNIQUE INDEX item_text ON memory.item (tenant, user_id, agent, digest) NULLS NOT DISTINCT;
CREATE INDEX item_of_owner ON memory.item (tenant, user_id, created_at, memory_id);
CREATE INDEX item_of_tenant ON memory.item (tenant, created_at, memory_id);
CREATE INDEX item_words ON memory.item USING gin (words);

-- Apart from the item, because every update of a row with a vector puts the vector into its index anew; and one row
-- per model, so that a second model's vectors can grow beside the first's. The column has no dimension: the index of
-- each model (made by the store when it first meets the model) has. Tenant and user never change.
CREATE TABLE memory.embedding (
    memory_id text COLLATE "C" NOT NULL REFERENCES memory.item ON DELETE CASCADE,
    model     text NOT NULL,
    tenant    text NOT NULL,
    user_id   text NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (memory_id, model)
) WITH (toast_tuple_target = 8160);     -- vectors stay in the row: an exact scan reads many of them

CREATE INDEX embedding_of_owner ON memory.embedding (tenant, user_id);

CREATE TABLE memory.version (
    memory_id   text COLLATE "C" NOT NULL REFERENCES memory.item ON DELETE CASCADE,
    number      integer NOT NULL,
    text        text NOT NULL,
    kind        text NOT NULL,
    metadata    jsonb NOT NULL,
    importance  double precision NOT NULL,
    replaced_at timestamptz NOT NULL,
    PRIMARY KEY (memory_id, number)
);

CREATE TABLE memory.usage (
    memory_id    text COLLATE "C" PRIMARY KEY REFERENCES memory.item ON DELETE CASCADE,
    last_used_at timestamptz NOT NULL,
    use_count    bigint NOT NULL
);

-- How many memories each owner has: by it a search chooses between comparing all of them and using an index.
CREATE TABLE memory.owner (
    tenant  text NOT NULL,
    user_id text NOT NULL,
    items   bigint NOT NULL,
    PRIMARY KEY (tenant, user_id)
);

CREATE FUNCTION memory.count_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- In one order for everybody, so that two batches cannot wait for each other.
    INSERT INTO memory.owner AS o (tenant, user_id, items)
    SELECT tenant, user_id, count(*) FROM changed GROUP BY tenant, user_id ORDER BY tenant, user_id
    ON CONFLICT (tenant, user_id) DO UPDATE SET items = o.items + excluded.items;
    RETURN NULL;
END $$;

CREATE FUNCTION memory.count_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE memory.owner AS o SET items = o.items - c.gone
    FROM (SELECT tenant, user_id, count(*) AS gone FROM changed GROUP BY tenant, user_id) AS c
    WHERE o.tenant = c.tenant AND o.user_id = c.user_id;
    -- Whoever was erased is not named here either.
    DELETE FROM memory.owner AS o USING changed AS c
    WHERE o.tenant = c.tenant AND o.user_id = c.user_id AND o.items <= 0;
    RETURN NULL;
END $$;

CREATE TRIGGER item_added AFTER INSERT ON memory.item
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory.count_added();
CREATE TRIGGER item_removed AFTER DELETE ON memory.item
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION memory.count_removed();
