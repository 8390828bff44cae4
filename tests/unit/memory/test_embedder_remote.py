"""What an embedder behind a network is called, and how much of a text it is sent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.memory.embedder_remote import Remote, cut, name_of


@given(st.text(min_size=1), st.integers(1, 4000))
def test_every_model_has_a_name_that_an_index_can_bear(model: str, dimensions: int) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,49}", name_of(Remote("openai", model, dimensions)))


def test_models_that_are_not_the_same_have_other_names() -> None:
    remotes = [
        Remote("openai", "text-embedding-3-small", 1536),
        Remote("openai", "text-embedding-3-small", 512),
        Remote("vertex", "text-embedding-3-small", 1536),
        Remote("openai", "Text-Embedding-3-small", 1536),
        Remote("openai", "text-embedding 3-small", 1536),
        Remote("openai", "an-organisation-with-a-name/and-a-very-long-model-v1", 1536),
        Remote("openai", "an-organisation-with-a-name/and-a-very-long-model-v2", 1536),
    ]
    names = [name_of(remote) for remote in remotes]
    assert len(set(names)) == len(remotes)
    assert names[0] == "openai-text-embedding-3-small-1536"


@given(st.text(max_size=300), st.integers(16, 100))
def test_what_is_sent_is_the_texts_beginning(text: str, tokens: int) -> None:
    kept = cut(text, tokens)
    assert text.startswith(kept)
    assert len(kept) >= min(len(text), tokens // 2)


@pytest.mark.parametrize(("text", "kept"), [("abc" * 200, 300), ("字" * 200, 50), ("a字" * 200, 85)])
def test_plain_letters_count_a_third_of_a_token_and_others_two(text: str, kept: int) -> None:
    assert len(cut(text, 100)) == kept
