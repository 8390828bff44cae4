"""Runbooks: what is wrong with them, by file and line, and the jobs that they make."""

from pathlib import Path
from typing import Any

import pytest

from bureau.runbooks import BadRunbook, RunbookFile, read_runbook
from services.jobs.allowed import Allowed
from services.jobs.dry_run import dry_run
from services.jobs.rules import Rules

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "runbooks"
VALUES = {"cost-review.yaml": {"month": "2026-09"}, "restart-service.yaml": {"service": "billing"}}
"""For the examples' required parameters."""

BOOK = """\
title: Costs
input: {unit: EUR}
parameters:
  - name: month
    description: such as 2026-09
  - {name: limit, type: integer, default: 10}
  - {name: tags, type: list, required: false}
  - {name: deep, type: boolean, default: false}
steps:
  - {name: costs, kind: agent, message: "{{ input.month }} {{ input.limit }} {{ input.unit }}"}
  - {name: again, kind: agent, message: "{{ steps.costs.reply }}"}
"""


def written(folder: Path, text: str) -> RunbookFile:
    path = folder / "book.yaml"
    path.write_text(text, encoding="utf-8")
    return read_runbook(path)


def refusal(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadRunbook) as raised:
        written(folder, text)
    return [line.removeprefix(f"{folder}/") for line in raised.value.lines]


def test_parameters_become_the_jobs_input(tmp_path: Path) -> None:
    book = written(tmp_path, BOOK)
    job = book.job(book.parse(["month=2026-09=x", "limit=20", 'tags=["a"]', "deep=true"]))
    assert job.input == {"unit": "EUR", "month": "2026-09=x", "limit": 20, "tags": ["a"], "deep": True}
    assert [step.name for step in job.steps] == ["costs", "again"]
    assert book.job({"month": "May"}).input == {
        "unit": "EUR", "month": "May", "limit": 10, "tags": None, "deep": False,
    }  # fmt: skip
    assert "parameters" not in job.model_dump()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "month: is required (such as 2026-09)"),
        ({"month": 9}, "month: is a string, not 9"),
        ({"month": "May", "limit": True}, "limit: is a integer, not true"),
        ({"month": "May", "unit": "USD"}, "unit: there is no such parameter"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRunbook) as raised:
        written(tmp_path, BOOK).job(values)
    assert raised.value.lines == [f"{tmp_path}/book.yaml: {reason}"]


def test_all_that_is_wrong_with_assignments_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadRunbook) as raised:
        written(tmp_path, BOOK).parse(["month", "limit=1.5", "deep=yes", "tags={}", "month=1", "month=2"])
    assert len(raised.value.lines) == 5


def test_all_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
title: Costs of {{ input.month }}
parameters:
  - name: month
    type: integer
    default: May
  - name: month
steps:
  - name: a
    kind: agent
    message: >
      hello {{ input.mont }}
      and {{ steps.b.reply }}
  - name: a
    kind: http
    request:
      url: https://x/{{ stepz.a }}
      headers:
        x-a: "{{ input.month }}"
  - name: w
    kind: wait
"""
    assert refusal(tmp_path, text) == [
        "book.yaml:1: title: references are not filled in here",
        "book.yaml:5: parameters.0.default: is no integer",
        "book.yaml:6: parameters.1.name: an earlier parameter has the same name",
        "book.yaml:10: steps.0.message: no earlier step is called 'b'",
        "book.yaml:10: steps.0.message: no parameter is called 'mont'",
        "book.yaml:13: steps.1.name: an earlier step has the same name",
        "book.yaml:16: steps.1.request.url: {{ stepz.a }} is not a reference: "
        "write steps.<name>.<path> or input.<path>",
        "book.yaml:18: steps.1.request.headers.x-a: references are not filled in here",
        "book.yaml:19: steps.2.seconds: a step of kind wait needs it",
    ]


def test_a_field_of_the_wrong_shape_hides_no_other_fault(tmp_path: Path) -> None:
    text = """\
title: Costs
owner: me
steps:
  - name: a
    kind: agent
    mesage: hi
    timeout_seconds: soon
  - name: a
    kind: dance
    message: "{{ steps.zz.reply }}"
  - 7
"""
    lines = refusal(tmp_path, text)
    assert [line.split(": ", 2)[:2] for line in lines] == [
        ["book.yaml:2", "owner"],
        ["book.yaml:6", "steps.0.mesage"],
        ["book.yaml:7", "steps.0.timeout_seconds"],
        ["book.yaml:8", "steps.1.name"],
        ["book.yaml:9", "steps.1.kind"],
        ["book.yaml:10", "steps.1.message"],
        ["book.yaml:11", "steps.2"],
    ]
    assert "there is no such field" in lines[0]


@pytest.mark.parametrize(
    "text", ["- 1\n", "7\n", "title: x\nsteps: {a: 1}\nparameters: 3\ninput: 4\n", "steps: [[]]\n"]
)
def test_a_file_of_another_shape_is_refused_and_breaks_nothing(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadRunbook, match="No such file"):
        read_runbook(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_is_right_and_would_run(path: Path) -> None:
    job = read_runbook(path).job(VALUES.get(path.name, {}))
    told = dry_run(job, "ann", Rules(Allowed(["https://api.example.com/v1"])))
    assert told.ok, [step.problems for step in told.steps]
