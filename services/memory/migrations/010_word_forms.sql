-- A query's words one by one, each as written and with its base forms, as tsqueries in which nothing is read as an
-- operator. The commonest words, which a language leaves out and 'simple' does not, are there only when there are no others.
DROP FUNCTION memory.any_of(text[], text);

CREATE FUNCTION memory.asked(words text[], language text) RETURNS TABLE (place bigint, forms text[])
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH read AS (
        SELECT word, given.place,
               language = 'simple' OR to_tsvector(language::regconfig, word) <> '' OR to_tsvector('simple', word) = ''
               AS tells
        FROM unnest(words) WITH ORDINALITY AS given (word, place)
    )
    SELECT read.place, ARRAY(
        SELECT '''' || replace(replace(form, '\', '\\'), '''', '''''') || ''''
        FROM unnest(memory.lexemes(ARRAY[word], language)) AS form
    )
    FROM read WHERE tells OR NOT EXISTS (SELECT FROM read WHERE tells)
$$;
