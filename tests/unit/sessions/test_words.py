"""Words: what is one, what a query means, and where it is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import Invalid
from services.sessions.words import LONGEST_WORD, MAX_QUERY_WORDS, MAX_WORDS, distinct_words, find, parse, score


def test_words_have_neither_case_nor_accents() -> None:
    assert distinct_words("Größe, CAFÉ naïve; ﬁne STRASSE straße") == ["grosse", "cafe", "naive", "fine", "strasse"]


def test_scripts_without_spaces_give_a_word_for_each_character() -> None:
    assert distinct_words("会議は 10 時") == ["会", "議", "は", "10", "時"]
    assert parse("会議").phrases == (("会", "議"),)


def test_a_combined_and_a_composed_accent_are_the_same_word() -> None:
    assert distinct_words("cafe\u0301") == distinct_words("caf\u00e9")


def test_what_is_written_together_is_looked_for_together() -> None:
    assert parse("anna@example.com open").phrases == (("anna", "example", "com"), ("open",))


def test_quotes_make_a_phrase_and_one_alone_means_nothing() -> None:
    assert parse('"cloud bill" high').phrases == (("cloud", "bill"), ("high",))
    assert parse('"cloud bill').phrases == (("cloud",), ("bill",))


@pytest.mark.parametrize("text", ["", "   ", '""', "*", "' --", "!!! ??? «»", "_", "😀"])
def test_a_query_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no word"):
        parse(text)


def test_a_query_has_an_end() -> None:
    words = [f"w{number}" for number in range(MAX_QUERY_WORDS)]
    assert len(parse(" ".join(words)).words) == MAX_QUERY_WORDS
    with pytest.raises(Invalid, match="more than"):
        parse(" ".join([*words, "one-more"]))


def test_what_is_no_word_but_data_is_not_indexed() -> None:
    assert distinct_words("a" * LONGEST_WORD + " " + "b" * (LONGEST_WORD + 1)) == ["a" * LONGEST_WORD]
    assert len(distinct_words(" ".join(f"w{number}" for number in range(MAX_WORDS + 5)))) == MAX_WORDS


def test_spans_are_of_the_text_as_it_was_written() -> None:
    text = "Die Größe ﬁel; GROSSE Straße."
    spans = find(parse("grosse strasse"), text)
    assert spans is not None
    assert [[text[begin:end] for begin, end in each] for each in spans] == [["Größe", "GROSSE"], ["Straße"]]


def test_a_phrase_needs_its_words_side_by_side() -> None:
    assert find(parse('"cloud bill"'), "the bill of the cloud") is None
    assert find(parse("cloud bill"), "the bill of the cloud") is not None
    assert find(parse('"cloud bill"'), "Cloud-Bill") == [[(0, 10)]]


@given(st.text(max_size=200), st.text(max_size=60))
def test_whatever_is_written_can_be_indexed_and_looked_for(text: str, query: str) -> None:
    words = distinct_words(text)
    assert all(word and " " not in word and '"' not in word and ":" not in word for word in words)
    try:
        wanted = parse(query)
    except Invalid:
        return
    spans = find(wanted, text)
    if spans is not None:
        assert set(wanted.words) <= set(words), "the index would have missed it"
        assert all(0 <= begin < end <= len(text) for each in spans for begin, end in each)


@given(st.text(min_size=1, max_size=100))
def test_every_text_finds_itself(text: str) -> None:
    words = distinct_words(text)
    if words:
        assert find(parse(words[0]), text) is not None


def test_more_occurrences_in_a_shorter_text_score_higher() -> None:
    once, twice = [[(0, 1)]], [[(0, 1), (2, 3)]]
    assert score(twice, 100) > score(once, 100) > score(once, 1000) > 0
    assert score(twice, 1) < 1
