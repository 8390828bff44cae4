"""Words, stems, and the lexicon."""

import pytest

from services.registry.concepts import concepts, main_senses, stems
from services.registry.lexicon import CONTRACTIONS, SYNONYMS
from services.registry.text import MAX_CHARS, MAX_WORD, split_identifier, stem, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's UP, doc?", ["what", "is", "up", "doc"]),
        ("don’t stop", ["do", "not", "stop"]),
        ("john's 2nd e-mail", ["john", "2nd", "e", "mail"]),
        ("ﬁle №5", ["file", "no5"]),  # NFKC
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("東", ["東"]),
        ("AI東京", ["ai", "東京"]),
        ("हिन्दी", ["हिन्दी"]),
        ("snake_case", ["snake", "case"]),
        ("", []),
        ("''", []),
    ],
)
def test_text_falls_into_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_work_is_bounded() -> None:
    assert len(words("a " * 1_000_000)) == MAX_CHARS // 2
    assert len(words("\ufdfa" * 1_000_000)) <= MAX_CHARS  # one character that NFKC makes eighteen of
    assert words("x" * 1_000) == ["x" * MAX_WORD]


@pytest.mark.parametrize("name", ["OrderStatusAgent", "order_status-agent", "order.status/agent", "orderStatus agent"])
def test_identifiers_are_split_where_their_case_or_signs_change(name: str) -> None:
    assert words(split_identifier(name)) == ["order", "status", "agent"]


@pytest.mark.parametrize(
    "family",
    [
        "change changes changed changing",
        "city cities",
        "stop stops stopped stopping",
        "pay pays paid paying",
        "is are am was been",
        "make made making makes",
        "lose lost losing",
        "quick quickly",
        "box boxes",
        "people person",
    ],
)
def test_forms_of_a_word_share_a_stem(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


@pytest.mark.parametrize("pair", ["us use", "bus but", "sing ring", "bed be", "news new", "东西 东"])
def test_different_words_keep_different_stems(pair: str) -> None:
    first, second = pair.split()
    assert stem(first) != stem(second)


def test_synonyms_share_a_concept() -> None:
    assert set(concepts(stem("purchase"))) & set(concepts(stem("buying")))
    assert main_senses(stems("purchase a vehicle")) == main_senses(stems("buy a car"))
    assert concepts("xylophone") == ()


def test_every_group_of_synonyms_says_something_and_has_a_name_of_its_own() -> None:
    assert all(len(group) > 1 for group in SYNONYMS)
    heads = [stem(group[0]) for group in SYNONYMS]
    assert len(heads) == len(set(heads))
    assert all(len(set(group)) == len(group) for group in SYNONYMS)


def test_contractions_are_written_out_in_words_that_are_not_contractions() -> None:
    assert all(word not in CONTRACTIONS for written in CONTRACTIONS.values() for word in written)
