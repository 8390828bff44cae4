"""What a job would do, told without doing it."""

from typing import Any

import pytest

from bureau_contracts.jobs import DryRun, StartJob
from services.jobs.allowed import Allowed
from services.jobs.dry_run import dry_run
from services.jobs.rules import Rules

RULES = Rules(Allowed(["https://api.test/v1"]))


def forecast(*steps: dict[str, Any], **fields: Any) -> DryRun:
    return dry_run(StartJob.model_validate({"title": "t", "steps": list(steps)} | fields), "ann", RULES)


def http(url: str, **fields: Any) -> dict[str, Any]:
    return {"name": "call", "kind": "http", "request": {"url": url} | fields}


def test_the_input_is_filled_in_and_references_to_results_stay() -> None:
    told = forecast(
        {"name": "fetch", "kind": "agent", "message": "costs of {{ input.month }}"},
        {"name": "send", "kind": "function", "function": "send",
         "arguments": {"to": "{{ input.to }}", "text": "{{ input.month }}: {{ steps.fetch.reply }}"}},
        input={"month": "May", "to": ["ann", "ben"]},
    )  # fmt: skip
    assert told.steps[0].definition.message == "costs of May"
    assert told.steps[0].would == "asks whichever agent fits: costs of May"
    assert told.steps[1].definition.arguments == {"to": ["ann", "ben"], "text": "May: {{ steps.fetch.reply }}"}
    assert told.steps[1].waits_for == ["steps.fetch.reply"]
    assert told.ok


def test_a_reference_that_leads_nowhere_is_a_problem_of_its_step() -> None:
    told = forecast({"name": "ask", "kind": "agent", "message": "{{ input.mont }}"}, input={"month": "May"})
    assert not told.ok
    assert told.steps[0].problems == ["{{ input.mont }} leads nowhere: there is no 'mont'"]


def test_a_path_into_a_result_that_cannot_hold_it_is_a_problem() -> None:
    told = forecast(
        http("https://api.test/v1/x"),
        {"name": "a", "kind": "agent", "message": "{{ steps.call.result.id }}"},
        {"name": "b", "kind": "agent", "message": "{{ steps.call.body.id }} {{ steps.a.reply }}"},
    )
    assert "http has no 'result'" in told.steps[1].problems[0]
    assert told.steps[2].problems == []


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.test/v1/users/{{ input.user }}", True),
        ("https://api.test/v1/users/{{ steps.first.reply }}", True),
        ("https://api.test/v2/users", False),
        ("https://elsewhere.test/v1", False),
        ("https://{{ steps.first.reply }}/v1", False),
        ("{{ input.whole }}", False),
        ("https://api.test/v1/{{ input.dots }}/x", False),
        ("https://api.test/v1/{{ input.up }}", False),
    ],
)
def test_an_address_is_judged_as_the_worker_will_judge_it(url: str, allowed: bool) -> None:
    known = {"user": "ann/x", "up": "../../admin", "whole": "https://api.test/v1/x", "dots": ".."}
    told = forecast({"name": "first", "kind": "agent", "message": "hi"}, http(url), input=known)
    assert (told.steps[1].problems == []) is allowed


def test_effects_and_repeats_are_told_apart() -> None:
    told = forecast(
        http("https://api.test/v1") | {"name": "get"},
        http("https://api.test/v1", method="DELETE") | {"name": "delete"},
        http("https://api.test/v1", method="POST") | {"name": "post"},
        {"name": "f", "kind": "function", "function": "f"},
        {"name": "w", "kind": "wait", "seconds": 60},
    )
    assert [(step.effects, step.repeatable) for step in told.steps] == [
        (False, True), (True, True), (True, False), (True, False), (False, True),
    ]  # fmt: skip


def test_the_longest_duration_counts_attempts_pauses_and_waits_but_no_humans() -> None:
    told = forecast(
        {"name": "a", "kind": "agent", "message": "x", "max_attempts": 3, "timeout_seconds": 10},
        {"name": "w", "kind": "wait", "seconds": 60},
        {"name": "b", "kind": "breakpoint"},
    )
    assert [step.longest_seconds for step in told.steps] == [30 + 1 + 2, 60, None]
    assert (told.longest_seconds, told.approvals) == (93, 1)


def test_a_long_input_that_is_named_often_is_not_filled_in() -> None:
    told = forecast(
        {"name": "a", "kind": "agent", "message": "{{ input.x }}" * 1000},
        http("https://api.test/v1/{{ input.x }}"),
        input={"x": "x" * 100_000},
    )
    assert told.steps[0].definition.message == "{{ input.x }}" * 1000
    assert "too long" in told.unchecked[-1]
    assert told.ok


def mapped(*steps: dict[str, Any], items: Any = "{{ input.ids }}", **arguments: Any) -> dict[str, Any]:
    over = {"items": items, "parallel": 2, "steps": list(steps)}
    return {"name": "each", "kind": "map", "arguments": arguments, "map": over}


def test_a_map_tells_over_how_many_items_and_what_is_known_of_its_children() -> None:
    child = http("https://api.test/v1/{{ input.month }}/{{ input.item }}") | {"timeout_seconds": 5, "max_attempts": 1}
    told = forecast(mapped(child), input={"ids": [1, 2, 3], "month": "May"})
    (step,) = told.steps
    assert step.would == "starts a child of 1 steps for each of 3 items, 2 at once"
    assert step.definition.map is not None
    assert step.definition.map.items == [1, 2, 3]
    request = step.definition.map.steps[0].request
    assert request is not None
    assert request.url == "https://api.test/v1/May/{{ input.item }}"
    assert (step.longest_seconds, step.problems) == (10, [])


def test_what_is_wrong_with_a_maps_children_is_a_problem_of_the_map() -> None:
    told = forecast(
        mapped(
            http("https://elsewhere.test/{{ input.item }}"),
            {"name": "a", "kind": "agent", "message": "{{ steps.call.result }} {{ input.mont }}"},
            {"name": "b", "kind": "agent", "message": "{{ steps.a.reply }} {{ input.month }} {{ input.rate }}"},
            rate="{{ input.month }}",
        ),
        input={"ids": [1], "month": "May"},
    )
    assert told.steps[0].problems == [
        "call: https://elsewhere.test/{{ input.item }} is not under JOBS_HTTP_ALLOWED",
        "a: {{ input.mont }} leads nowhere: there is no 'mont'",
        "a: {{ steps.call.result }} leads nowhere: the result of a step of kind http has no 'result'",
    ]


@pytest.mark.parametrize(
    ("items", "problem"),
    [("{{ input.month }}", "of type str"), ("{{ input.many }}", "1001 items"), ("{{ steps.first.reply }}", "")],
)
def test_what_cannot_be_mapped_over_is_told_before_the_run(items: str, problem: str) -> None:
    first = {"name": "first", "kind": "agent", "message": "hi"}
    child = {"name": "nap", "kind": "wait", "seconds": 1}
    told = forecast(first, mapped(child, items=items), input={"month": "May", "many": [0] * 1001})
    assert problem in "".join(told.steps[1].problems)
    assert told.ok is not bool(problem)
