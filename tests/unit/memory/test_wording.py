"""How the memory reads texts."""

import pytest

from services.memory.wording import MAX_WORD_BYTES, MAX_WORD_LENGTH, digest, distinct_words, normalised, words


@pytest.mark.parametrize("same", ["Likes TEA", "  likes\t tea\n", "ｌｉｋｅｓ　tea", "LIKEſ tea"])
def test_case_space_and_compatibility_forms_make_no_other_text(same: str) -> None:
    assert normalised(same) == "likes tea"
    assert digest(same) == digest("likes tea")


@pytest.mark.parametrize("other", ["likes te", "likestea", "likes tea.", "tea likes"])
def test_other_letters_signs_or_order_make_another_text(other: str) -> None:
    assert digest(other) != digest("likes tea")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World! hello", ["hello", "world", "hello"]),
        ("ann@example.com a_b c-3d", ["ann", "example", "com", "a", "b", "c", "3d"]),
        ("don't", ["don", "t"]),
        ("東京x", ["東", "京", "東京", "x"]),
        ("हिन्दी", ["हिन्दी"]),
        ("a❤\ufe0fb 🎉🎉", ["a", "❤", "b", "🎉", "🎉"]),
        ("?! … \u200b\x00", []),
        ("", []),
    ],
)
def test_words_are_letters_digits_and_pictograms(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_words_length_and_a_texts_distinct_words_are_bounded() -> None:
    assert words("x" * 1000) == ["x" * MAX_WORD_LENGTH]
    many = distinct_words(" ".join(f"{number:063x}" for number in range(20_000)))
    assert sum(map(len, many)) <= MAX_WORD_BYTES < sum(map(len, many)) + 63


def test_distinct_words_keep_their_order() -> None:
    assert distinct_words("b a b c a") == ("b", "a", "c")
