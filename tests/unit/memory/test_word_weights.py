"""What words are worth by how common they are, and which of them bring memories where there are too many."""

from hypothesis import given
from hypothesis import strategies as st

from services.memory.word_weights import MOST_FORMS, Asked, AskedWord, weight


def asked(*counts: int, sampled: int = 256) -> Asked:
    return Asked.first((AskedWord((f"w{n}", f"~w{n}"), count) for n, count in enumerate(counts)), sampled)


@given(st.integers(0, 256), st.data())
def test_a_rarer_word_is_worth_more_and_none_is_worth_nothing(sampled: int, data: st.DataObject) -> None:
    rare = data.draw(st.integers(0, sampled))
    common = data.draw(st.integers(rare, sampled))
    assert weight(rare, sampled) >= weight(common, sampled) >= 1


def test_a_word_that_every_memory_has_is_worth_next_to_nothing() -> None:
    assert weight(256, 256) * 1000 < weight(0, 256)


def test_the_rarest_words_bring_as_many_as_are_wanted_and_at_least_one_does() -> None:
    words = asked(128, 0, 1, 256)
    assert [word.count for word in words.rarest(100_000, 2_000)] == [0, 1]
    assert [word.count for word in words.rarest(100_000, 60_000)] == [128, 0, 1]
    assert words.rarest(100_000, 10**9) == words.words
    assert [word.count for word in asked(256, 200).rarest(100_000, 2_000)] == [200]


def test_without_words_or_memories_nothing_is_worth_anything() -> None:
    assert Asked().rarest(10**6, 1) == ()
    assert Asked().worth() == ([], [])
    assert asked(0, sampled=0).rarest(10**6, 1) == asked(0, sampled=0).words


def test_of_very_many_forms_the_first_are_asked_for_and_no_others() -> None:
    words = asked(*[1] * 100)
    forms, worth = words.worth()
    assert len(forms) == len(worth) == MOST_FORMS
    assert forms[:3] == ["w0", "~w0", "w1"]
    assert [form for word in words.rarest(1, 10**9) for form in word.forms] == forms
