"""Runbooks: what is wrong with them, by file and line, and the jobs that they make."""

import re
from pathlib import Path
from typing import Any

import pytest

from bureau.runbook_names import REFERRING
from bureau.runbooks import BadRunbook, Runbook, RunbookFile, read_runbook, read_step
from bureau_contracts.jobs import StartJob
from bureau_contracts.plans import referring
from bureau_contracts.steps import NewStep, StepKind
from services.jobs.allowed import Allowed
from services.jobs.dry_run import dry_run
from services.jobs.rules import Rules

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "runbooks"
HOW_TO = EXAMPLES.parents[1] / "docs" / "how-to" / "write-a-runbook.md"
YAML = re.compile(r"^```yaml\n(.*?)^```", re.M | re.S)
VALUES: dict[str, dict[str, Any]] = {
    "cost-review.yaml": {"month": "2026-09"},
    "restart-service.yaml": {"service": "billing"},
    "release.yaml": {"version": "2.4.0"},
    "deploy.yaml": {"service": "billing", "image": "billing:42"},
    "close-ticket.yaml": {"ticket": "T-1001"},
}
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


MAP = """\
title: Reminders
parameters:
  - name: month
  - {name: customers, type: list}
steps:
  - {name: rate, kind: tool, tool: {name: exchange_rate}, arguments: {when: "{{ input.month }}"}}
  - name: each
    kind: map
    arguments: {rate: "{{ steps.rate.value }}"}
    map:
      items: "{{ input.customers }}"
      steps:
        - name: bill
          kind: http
          request: {url: "https://x/{{ input.item.id }}/{{ input.month }}/{{ input.item_index }}"}
        - {name: tell, kind: agent, message: "{{ steps.bill.body }} at {{ input.rate }}"}
"""


def test_the_steps_of_a_map_name_the_item_its_arguments_and_their_own_results(tmp_path: Path) -> None:
    job = written(tmp_path, MAP).job({"month": "May", "customers": [{"id": 1}]})
    over = job.steps[1].map
    assert over is not None
    assert [step.name for step in over.steps] == ["bill", "tell"]
    assert job.input == {"month": "May", "customers": [{"id": 1}]}


@pytest.mark.parametrize(
    ("said", "instead", "refusal_of_it"),
    [
        ("{{ input.customers }}", "{{ input.month }}", "11: steps.1.map.items: month is of type string, not a list"),
        ("{{ input.customers }}", "{{ input.custom }}", "11: steps.1.map.items: no parameter is called 'custom'"),
        ("{{ input.customers }}", "all of {{ input.customers }}",
         "11: steps.1.map.items: is a list, or one reference to a list"),
        ("{{ input.item.id }}", "{{ input.itm.id }}",
         "15: steps.1.map.steps.0.request.url: no parameter is called 'itm'"),
        ("{{ steps.bill.body }}", "{{ steps.rate.value }}",
         "16: steps.1.map.steps.1.message: no earlier step is called 'rate'"),
        ("name: tell", "name: bill", "16: steps.1.map.steps.1.name: an earlier step has the same name"),
        ("kind: agent", "kind: wait", "16: steps.1.map.steps.1.seconds: a step of kind wait needs it"),
        ("kind: agent", "kind: dance", "16: steps.1.map.steps.1.kind: Input should be"),
        ("{rate:", "{item:", "9: steps.1.arguments.item: the map puts it in itself"),
        ("{name: exchange_rate}", '{name: "{{ input.month }}"}',
         "6: steps.0.tool.name: references are not filled in here"),
        ("{when: ", '{item: "{{ input.item }}", when: ',
         "6: steps.0.arguments: no parameter is called 'item'; only the steps of a map have it"),
        (", tool: {name: exchange_rate}", "", "6: steps.0.tool: a step of kind tool needs it"),
    ],
)  # fmt: skip
def test_what_is_wrong_within_a_map_has_its_line(tmp_path: Path, said: str, instead: str, refusal_of_it: str) -> None:
    assert said in MAP
    lines = refusal(tmp_path, MAP.replace(said, instead))
    assert any(line.startswith(f"book.yaml:{refusal_of_it}") for line in lines), lines


def test_a_map_of_the_wrong_shape_hides_no_fault_within_it(tmp_path: Path) -> None:
    text = """\
title: x
steps:
  - name: each
    kind: map
    map:
      items: [1, 2]
      paralel: 3
      steps:
        - {name: a, kind: agent, message: "{{ input.nobody }}"}
        - {name: a, kind: agent, message: "{{ steps.zz }}"}
        - name: b
          kind: map
          map: {items: [1], steps: [{name: c, kind: agent, message: "{{ input.item }} {{ steps.a.reply }}"}]}
"""
    assert [line.split(": ", 2)[:2] for line in refusal(tmp_path, text)] == [
        ["book.yaml:7", "steps.0.map.paralel"],
        ["book.yaml:9", "steps.0.map.steps.0.message"],
        ["book.yaml:10", "steps.0.map.steps.1.message"],
        ["book.yaml:10", "steps.0.map.steps.1.name"],
        ["book.yaml:13", "steps.0.map.steps.2.map.steps.0.message"],
    ]


def test_references_are_looked_for_where_the_service_fills_them_in() -> None:
    call, over = {"url": "https://x"}, {"items": [1], "steps": [{"name": "b", "kind": "breakpoint"}]}
    step = NewStep.model_validate({"name": "a", "kind": "http", "request": call, "map": over})
    assert set(referring(step)) == {".".join(part) for part in REFERRING}


def test_a_reference_where_none_is_filled_in_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    text = """\
title: x
webhook_url: https://hooks/{{ input.month }}
parameters: [{name: month}]
steps:
  - name: look
    kind: breakpoint
    approval:
      approvers:
        - ann
        - "{{ input.month }}"
"""
    lines = refusal(tmp_path, text)
    assert "book.yaml:2: webhook_url: references are not filled in here" in lines
    assert "book.yaml:10: steps.0.approval.approvers.1: references are not filled in here" in lines


def test_everything_that_a_job_may_be_told_stands_in_a_runbook(tmp_path: Path) -> None:
    told = {
        "queue": "slow", "priority": 8, "deadline_seconds": 3600.0, "start_at": "2027-01-01T08:00:00Z",
        "webhook_url": "https://hooks.example.com/jobs", "autonomy_level": "L1", "kind": "report", "user_id": "ben",
        "parent_id": "job-1", "input": {"unit": "EUR"},
    }  # fmt: skip
    assert set(told) == set(StartJob.model_fields) - {"title", "steps"}
    text = BOOK.replace("input: {unit: EUR}", "\n".join(f"{name}: {value}" for name, value in told.items()))
    text = text.replace("{'unit': 'EUR'}", "{unit: EUR}")
    job = written(tmp_path, text).job({"month": "May"})
    for name in set(told) - {"input"}:
        assert job.model_dump(mode="json")[name] == told[name]


def test_a_step_is_read_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "step.yaml"
    path.write_text("name: ask\nkind: agent\nmessage: '{{ steps.before.reply }}'\n")
    assert read_step(path) == NewStep.model_validate(
        {"name": "ask", "kind": "agent", "message": "{{ steps.before.reply }}"}
    )
    path.write_text("name: ask\nkind: agent\nmesage: hi\nmax_attempts: 0\n")
    with pytest.raises(BadRunbook) as raised:
        read_step(path)
    assert [line.split(": ")[0] for line in raised.value.lines] == [f"{path}:3", f"{path}:4"]


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


@pytest.mark.parametrize("text", YAML.findall(HOW_TO.read_text(encoding="utf-8")))
def test_every_runbook_of_the_manual_is_right(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text).runbook.steps


def test_the_manual_names_every_field_of_a_job_and_every_kind_of_step() -> None:
    said = HOW_TO.read_text(encoding="utf-8")
    assert [field for field in Runbook.model_fields if f"`{field}`" not in said and f"{field}:" not in said] == []
    assert [kind for kind in StepKind if f"| `{kind}` |" not in said] == []
