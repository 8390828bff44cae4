"""Which messages only make sense after something was said before."""

import pytest

from services.runtime.follow_ups import read_follow_up

BARE = [
    "show details", "Show details please", "details", "more", "tell me more", "tell me more about it", "the second one",
    "the first one please", "the last one", "number 3", "#2", "and for last month?", "what about yesterday?",
    "how about in March", "and the month before?", "yes", "no", "ok", "why?", "why is that", "go on", "continue",
    "next page", "show me the next ones", "both of them", "explain that", "last week", "in 2026-09", "what else?",
    "thanks", "again", "all of them please", "can you show me more", "and?",
]  # fmt: skip
LEANING = [
    "close it", "cancel that one", "and what does the premium plan cost?", "compare it with the budget",
    "which of them are open?", "only the open ones", "for the marketing team", "without tax", "sort them by price",
    "what about storage?", "then send a reminder to Bob", "only open", "by department", "T-1002", "who owns it?",
    "is that expensive?", "its owner", "thank you very much",
]  # fmt: skip
STANDING_ALONE = [
    "show my tickets", "list all open tickets", "what did the cloud cost in 2026-09?", "find a python course",
    "enrol me in C-201", "close ticket T-1001", "what is the weather in Paris", "how much did we spend this month",
    "show tickets that are open", "create an invoice for Acme", "is it raining in Berlin", "hello", "help",
    "does the IT department have an opening", "book a meeting room for Monday morning with Anna and Bob please",
    "what is this month's bill", "please reset my password", "",  "   ", "???",
]  # fmt: skip


@pytest.mark.parametrize("message", BARE)
def test_a_message_that_says_nothing_by_itself_is_a_bare_follow_up(message: str) -> None:
    follow_up = read_follow_up(message)
    assert follow_up is not None
    assert follow_up.bare


@pytest.mark.parametrize("message", LEANING)
def test_a_message_that_leans_on_what_was_said_is_a_follow_up_with_a_subject(message: str) -> None:
    follow_up = read_follow_up(message)
    assert follow_up is not None
    assert not follow_up.bare


@pytest.mark.parametrize("message", STANDING_ALONE)
def test_a_message_with_a_subject_of_its_own_is_none(message: str) -> None:
    assert read_follow_up(message) is None


def test_the_sign_says_in_words_what_gave_it_away() -> None:
    signs = {message: read_follow_up(message) for message in ("and for last month?", "close it", "the second one")}
    assert {message: found and found.sign for message, found in signs.items()} == {
        "and for last month?": "begins with “and”",
        "close it": "points back with “it”",
        "the second one": "points at something shown before with “the second one”",
    }


def test_a_long_message_stands_on_its_own_whatever_it_begins_with() -> None:
    assert read_follow_up("and then " + "we discussed the budget " * 40) is None
    assert read_follow_up("it " * 1_000_000) is None
