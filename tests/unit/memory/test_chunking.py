"""Chunks: along what an author divided, none too large, nothing left out; and HTML as a reader sees it."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.memory.chunking import TARGET_CHARACTERS, TARGET_WORDS, chunks
from services.memory.html_text import read_html

SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank today. "


def test_headings_divide_and_are_the_path_of_what_stands_below() -> None:
    found = chunks("intro\n# One\nfirst\n## Deep\nsecond\n# Two\nthird\n```\n# code\n```", markdown=True)
    assert [(each.headings, each.text) for each in found] == [
        ((), "intro"),
        (("One",), "One\nfirst"),
        (("One", "Deep"), "Deep\nsecond"),
        (("Two",), "Two\nthird\n```\n# code\n```"),
    ]


def test_a_long_text_is_cut_between_sentences_and_says_a_sentence_again() -> None:
    text = " ".join(f"{number}: {SENTENCE.strip()}" for number in range(60))
    found = chunks(text)
    assert len(found) > 4
    assert all(each.text.endswith("today.") for each in found)
    assert all(set(one.text.split("\n")) & set(two.text.split("\n")) for one, two in pairwise(found))


def test_plain_text_has_no_headings() -> None:
    assert [each.headings for each in chunks("# not one\ntext")] == [()]
    assert chunks(" \n\n ") == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([SENTENCE, "w ", "\n\n", "# H\n", "x" * 3000 + " ", "日本語です。" * 300, "- item\n"]),
        max_size=60,
    )
)
def test_whatever_the_text_no_chunk_is_too_large_and_no_word_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    found = chunks(text, markdown=True)
    assert found == chunks(text, markdown=True)
    for each in found:
        assert each.text.strip()
        assert len(each.text) <= TARGET_CHARACTERS + 1
        assert len(each.text.split()) <= TARGET_WORDS + 1
    everything = "".join("".join(each.text.split()) for each in found)
    assert all(word[:TARGET_CHARACTERS] in everything for word in set(text.replace("#", " ").split()))


def test_of_a_page_what_a_reader_sees_is_read() -> None:
    title, text = read_html(
        "<html><head><title> A  page </title><style>p{}</style></head><body><h1>Top</h1>"
        "<p>One <b>bold</b> word&amp;</p>"
        "<script>evil()</script><p hidden>secret <br> still</p>"
        "<div style='display: none'><p>hidden <i>too</i></div>"
        "<nav>menu</nav><ul><li>a<li>b</ul><p>end"
    )
    assert title == "A page"
    assert text == "# Top\n\nOne bold word&\n\na\nb\n\nend"


def test_a_page_that_never_closes_costs_little() -> None:
    assert read_html("<div hidden>" + "<div>" * 100_000 + "x")[1] == ""
    assert read_html("<" * 100_000)[1] is not None
