"""What the hashed embedder promises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.memory.embedder_hashed import DIMENSIONS, READ_CHARACTERS, HashedEmbedder, vector_of

TEA = {195: 0.2857, 593: -0.2857, 677: 0.2857, 818: 0.7143, 916: -0.2857, 946: 0.2857, 983: 0.2857}


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector_of(one), vector_of(other), strict=True))


@given(st.text(min_size=1, max_size=60))
def test_every_text_has_a_finite_vector_of_length_one(text: str) -> None:
    vector = vector_of(text)
    assert len(vector) == DIMENSIONS
    assert math.isclose(math.fsum(value * value for value in vector), 1)


def test_a_texts_vector_never_changes() -> None:
    """Stored vectors are compared with tomorrow's: whoever changes this must change the embedder's name."""
    vector = vector_of("tea")
    assert {index: round(value, 4) for index, value in enumerate(vector) if value} == TEA


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("which editor theme does she like", "Prefers the dark theme in every editor", "Allergic to peanuts"),
        ("invoices of oxygen", "The oxygen invoice is due in March", "The dentist's appointment is in March"),
        ("kubernets cluster", "The Kubernetes clusters run in Frankfurt", "The customers live in Frankfurt"),
        ("東京の天気", "東京は雨です", "大阪に住んでいます"),
    ],
)
def test_shared_words_and_inflections_are_closer_than_none(question: str, answer: str, other: str) -> None:
    assert cosine(question, answer) > cosine(question, other) + 0.1


def test_case_and_punctuation_do_not_matter() -> None:
    assert cosine("Likes TEA!", "likes tea") == pytest.approx(1)


def test_texts_without_words_are_told_apart() -> None:
    assert cosine("?!", "?!") == pytest.approx(1)
    assert cosine("?!", "...") == 0


async def test_one_vector_comes_per_text_in_order_from_the_loop_or_a_thread() -> None:
    embedder = HashedEmbedder()
    texts = ["tea", "coffee", "word " * READ_CHARACTERS]
    assert await embedder.embed(texts) == [vector_of(text) for text in texts]
    assert await embedder.embed([]) == []


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    beginning = "tea " * (READ_CHARACTERS // 4)
    assert vector_of(beginning + "coffee") == vector_of(beginning)
