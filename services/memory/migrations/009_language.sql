-- Beside the words as written, their base forms in a language, which are told from words by a "~": no word has one.
-- Memories stored before have none, as 'simple' makes none; the service reads them anew in the background.
ALTER TABLE memory.item ADD COLUMN language text COLLATE "C" NOT NULL DEFAULT 'simple';

CREATE INDEX item_language ON memory.item (language);

-- In which language the process that started last reads: by it those started before know to leave the upkeep alone.
CREATE TABLE memory.reading (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    language text NOT NULL
);

CREATE FUNCTION memory.lexemes(words text[], language text) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT words || CASE WHEN language = 'simple' THEN '{}' ELSE ARRAY(
        SELECT '~' || lexeme FROM unnest(to_tsvector(language::regconfig, array_to_string(words, ' ')))
    ) END
$$;

CREATE FUNCTION memory.as_written(words tsvector) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(SELECT lexeme FROM unnest(tsvector_to_array(words)) AS lexeme WHERE NOT starts_with(lexeme, '~'))
$$;

-- A tsquery that any of the words fulfils, in either form, written so that nothing is read as an operator. The commonest
-- words, which a language leaves out and 'simple' does not, are looked for only when there are no others.
CREATE FUNCTION memory.any_of(words text[], language text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH rarer AS (
        SELECT array_agg(word) AS words FROM unnest(any_of.words) AS word
        WHERE any_of.language = 'simple'
           OR to_tsvector(any_of.language::regconfig, word) <> '' OR to_tsvector('simple', word) = ''
    )
    SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')
    FROM rarer, unnest(memory.lexemes(coalesce(rarer.words, any_of.words), any_of.language)) AS lexeme
$$;
