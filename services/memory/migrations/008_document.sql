-- Documents, and which memories are their chunks, in which order.
CREATE TABLE memory.document (
    document_id text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant      text NOT NULL,
    user_id     text NOT NULL,
    agent       text,
    title       text NOT NULL,
    media_type  text NOT NULL,
    metadata    jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX document_of_owner ON memory.document (tenant, user_id, document_id);

CREATE TABLE memory.chunk (
    memory_id   text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES memory.item ON DELETE CASCADE,
    document_id text COLLATE "C" NOT NULL REFERENCES memory.document ON DELETE CASCADE,
    position    integer NOT NULL
);
CREATE INDEX chunk_of_document ON memory.chunk (document_id, position);
