"""A step names what came before it; nothing is evaluated, and a wrong name is a clear error."""

from typing import Any

import pytest

from bureau_contracts.plans import references
from bureau_contracts.steps import NewStep
from services.jobs.references import BadReference, fill
from services.jobs.steps import with_references

SCOPE = {
    "input": {"month": "2026-09", "count": 3, "flags": [True, None]},
    "steps": {
        "fetch": {"reply": "T-1001", "rows": [{"id": 7}, {"id": 8}], "trap": "{{ input.month }}"},
        "two words": {"reply": "fine"},
        "plain": "text",
    },
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("no reference", "no reference"),
        ("", ""),
        ("close {{ steps.fetch.reply }} in {{input.month}}", "close T-1001 in 2026-09"),
        ("{{ steps.fetch.rows.1.id }}", 8),
        ("{{ steps.fetch.rows }}", [{"id": 7}, {"id": 8}]),
        ("rows: {{ steps.fetch.rows }}", 'rows: [{"id": 7}, {"id": 8}]'),
        ("{{ steps.two words.reply }}!", "fine!"),
        ("{{ steps.plain }}", "text"),
        ("{{ input.flags.0 }} {{ input.flags.1 }}", "true null"),
        ("{{ input }}", SCOPE["input"]),
        ("{ steps.fetch.reply }", "{ steps.fetch.reply }"),
        ("{{ steps.fetch.trap }} stays", "{{ input.month }} stays"),
    ],
)
def test_references_are_filled_in(text: str, filled: Any) -> None:
    assert fill(text, SCOPE) == filled


def test_references_are_filled_in_anywhere_in_the_arguments() -> None:
    arguments = {"a": ["{{ input.count }}", {"b": "x{{ input.count }}"}], "c": 1, "d": None}
    assert fill(arguments, SCOPE) == {"a": [3, {"b": "x3"}], "c": 1, "d": None}


@pytest.mark.parametrize(
    "text",
    [
        "{{ steps.fetch.nothing }}",
        "{{ steps.unknown.reply }}",
        "{{ steps.fetch.rows.2 }}",
        "{{ steps.fetch.rows.-1 }}",
        "{{ steps.fetch.rows.99999999999999999999 }}",
        "{{ steps.fetch.rows.² }}",
        "{{ steps.plain.upper }}",
        "{{ steps.fetch.__class__ }}",
        "{{ steps }}",
        "{{ steps. }}",
        "{{ input..x }}",
        "{{ os.environ }}",
        "{{ }}",
        "{{ 1 + 1 }}",
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(BadReference) as raised:
        fill(f"x {text}", SCOPE)
    assert text.strip("{} ") in str(raised.value)


def test_a_text_does_not_grow_without_bound() -> None:
    scope = {"input": {"long": "x" * 300_000}}
    with pytest.raises(BadReference, match="more than 1000000 characters"):
        fill("{{ input.long }} " * 4, scope)


def test_the_steps_that_a_value_names_are_found_without_filling_it_in() -> None:
    assert list(references({"a": ["{{ steps.one.x }}", "{{ input.y }} {{ steps.two }}"]})) == [
        ["steps", "one", "x"], ["input", "y"], ["steps", "two"],
    ]  # fmt: skip


def test_spaces_around_a_path_do_not_count() -> None:
    assert fill("{{input.count}} {{ \t\n input.count \xa0 }}", SCOPE) == "3 3"


@pytest.mark.parametrize("text", ["{{" + " " * 100_000, "{{ x" + " " * 100_000 + "{", "{{" * 50_000])
def test_a_text_is_searched_in_the_time_that_it_takes_to_read_it(text: str) -> None:
    """A backtracking expression would take hours, and hold up everybody else's requests."""
    assert list(references(text)) == []
    assert fill(text, SCOPE) == text


def test_a_short_step_does_not_ask_for_gigabytes() -> None:
    call = {"method": "PUT", "url": "https://api.test", "body": ["{{ input.long }}"] * 1000}
    step = NewStep.model_validate({"name": "put", "kind": "http", "request": call})
    with pytest.raises(BadReference, match="more than 8000000 characters together"):
        with_references(step, {"input": {"long": "x" * 100_000}})
    filled = with_references(step, {"input": {"long": "x" * 1000}})
    assert filled.request is not None
    assert filled.request.body == ["x" * 1000] * 1000
