-- Full-text search. What is indexed of a message is worked out by the service (module `words`), each word once, with
-- tokens that say whose it is; so the index needs no positions, and ASCII's tokenizer keeps each word as it is.
CREATE VIRTUAL TABLE message_words USING fts5 (words, detail = none, columnsize = 0, tokenize = "ascii tokenchars ':'");

-- Messages whose words are not in the index yet: indexing an append later keeps the append quick.
CREATE TABLE unindexed (id INTEGER PRIMARY KEY) STRICT;
-- Messages that are gone and whose words may still be in the index.
CREATE TABLE unerased (id INTEGER PRIMARY KEY) STRICT;
-- A row for each session that was purged, until nothing of it is left in the file.
CREATE TABLE purges (id INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;

INSERT INTO unindexed (id) SELECT id FROM messages;

CREATE TRIGGER words_of_new_messages AFTER INSERT ON messages BEGIN
    INSERT OR IGNORE INTO unindexed (id) VALUES (new.id);
END;

CREATE TRIGGER words_of_gone_messages AFTER DELETE ON messages BEGIN
    DELETE FROM unindexed WHERE id = old.id;
    INSERT OR IGNORE INTO unerased (id) VALUES (old.id);
END;

CREATE TRIGGER purges_of_sessions AFTER DELETE ON sessions BEGIN
    INSERT INTO purges (id) VALUES (NULL);
END;
