"""Everything that a human does to a job from the command line, on a whole Bureau."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.demo.system import System
from tests.command_line import invoked

PATIENCE_SECONDS = 60
ASK = {"name": "ask", "kind": "agent", "agent": "tickets", "message": "show details of {{ steps.look.ticket }}"}
LOOK = {"name": "look", "kind": "breakpoint"}
FAILS = {"name": "fails", "kind": "agent", "agent": "nobody", "message": "hi", "max_attempts": 1}

Run = Callable[..., str]


@pytest.fixture
def run(system: System, ada_key: str) -> Run:
    """Runs `bureau jobs …` as Ada. Gives what it printed; expects that it went well unless `code` says otherwise."""
    return partial(invoked, system, ada_key, "jobs")


@pytest.fixture
def start(run: Run, tmp_path: Path) -> Callable[..., str]:
    """Starts the job of a runbook with these steps. Gives its id."""

    def start(*steps: dict[str, Any], told: tuple[str, ...] = (), **fields: Any) -> str:
        book = tmp_path / "book.yaml"
        book.write_text(yaml.safe_dump({"title": "t", "steps": list(steps)} | fields))
        return str(json.loads(run("run", str(book), "--json", *told))["job_id"])

    return start


def job(run: Run, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("show", job_id, "--json"))
    return found


def reach(run: Run, job_id: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := job(run, job_id))["status"] != status:
        assert time.monotonic() < deadline, f"is {found['status']}, not {status}: {found['error']}"
    return found


def test_an_approval_says_what_a_step_brought_about_and_a_later_step_uses_it(
    run: Run, start: Callable[..., str]
) -> None:
    job_id = start(LOOK, ASK)
    reach(run, job_id, "waiting_approval")
    assert "no JSON" in run("approve", job_id, "0", "--result", "T-1001", code=1)
    run("approve", job_id, "0", "--result", '{"ticket": "T-1002"}', "--comment", "that one")
    done = reach(run, job_id, "succeeded")
    assert "analytics warehouse" in done["steps"][1]["result"]["reply"]
    assert done["steps"][0]["verdict"]["comment"] == "that one"


def test_a_step_that_has_not_begun_is_printed_changed_and_its_old_form_kept(
    run: Run, start: Callable[..., str], tmp_path: Path
) -> None:
    job_id = start(LOOK, ASK | {"message": "show details of T-1001"})
    reach(run, job_id, "waiting_approval")
    step = tmp_path / "step.yaml"
    step.write_text(run("show", job_id, "--step", "1").replace("T-1001", "T-1003"))
    run("edit", job_id, "1", "--file", str(step), "--comment", "the other one")
    run("approve", job_id, "0")
    done = reach(run, job_id, "succeeded")
    assert "VPN" in done["steps"][1]["result"]["reply"]
    (version,) = done["steps"][1]["versions"]
    assert (version["by"], version["comment"]) == ("ada", "the other one")
    assert version["definition"]["message"] == "show details of T-1001"

    step.write_text("name: ask\nkind: agent\nmesage: hi\n")
    assert "step.yaml:3: mesage: there is no such field" in run("edit", job_id, "1", "--file", str(step), code=1)


def test_a_dead_letter_is_listed_run_again_and_retried_from_an_earlier_step(
    run: Run, start: Callable[..., str]
) -> None:
    job_id = start(ASK | {"message": "list my tickets"}, FAILS)
    before = reach(run, job_id, "failed")["steps"][0]["finished_at"]
    assert job_id in run("dead")
    assert f"{job_id} is queued" in run("requeue", job_id)
    assert reach(run, job_id, "failed")["steps"][0]["finished_at"] == before, "what had passed is kept"
    assert json.loads(run("retry", job_id, "--from-step", "0", "--json")) == {"job_id": job_id, "status": "queued"}
    assert reach(run, job_id, "failed")["steps"][0]["finished_at"] > before
    assert job_id in [row["job_id"] for row in json.loads(run("dead", "--json"))["jobs"]]
    assert "failed" in run("watch", job_id, code=1)


def test_what_the_command_line_says_wins_over_the_runbook(run: Run, start: Callable[..., str]) -> None:
    told = ("--priority", "9", "--deadline", "600", "--at", "2100-01-31T08:00:00Z")
    job_id = start(LOOK, told=told, priority=1, deadline_seconds=5)
    found = job(run, job_id)
    assert (found["status"], found["priority"]) == ("scheduled", 9)
    assert found["deadline"].startswith("2100-01-31T08:10:00")
    assert "priority 9" in run("show", job_id)
    assert run("cancel", job_id).strip() == f"{job_id} is cancelled"


@pytest.mark.parametrize(
    ("told", "refusal"),
    [(("--queue", "nowhere"), "queue"), (("--queue", "No Where"), "queue: "), (("--at", "tomorrow"), "start_at: "),
     (("--deadline", "-1"), "deadline_seconds: ")],
)  # fmt: skip
def test_what_cannot_be_is_refused(run: Run, tmp_path: Path, told: tuple[str, ...], refusal: str) -> None:
    (tmp_path / "book.yaml").write_text(yaml.safe_dump({"title": "t", "steps": [LOOK]}))
    assert refusal in run("run", str(tmp_path / "book.yaml"), *told, code=1)


def test_steering_answers_in_json_too(run: Run, start: Callable[..., str]) -> None:
    job_id = start(LOOK, LOOK | {"name": "again"}, LOOK | {"name": "at last"})
    reach(run, job_id, "waiting_approval")
    for words, status in (
        (("pause", job_id), "paused"),
        (("resume", job_id), "waiting_approval"),
        (("skip", job_id, "0"), "waiting_approval"),
        (("approve", job_id, "1"), "waiting_approval"),
        (("reject", job_id, "2"), "failed"),
    ):
        assert json.loads(run(*words, "--json")) == {"job_id": job_id, "status": status}


def test_queues_and_workers_are_shown(run: Run, start: Callable[..., str]) -> None:
    start(LOOK, told=("--at", "2100-01-31T08:00:00Z"))
    assert "default" in run("queues")
    assert [queue["name"] for queue in json.loads(run("queues", "--json"))["queues"]] == ["default"]
    # A worker says what it does with its heartbeat, and may still name what a test before has ended.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "idle" not in (workers := run("workers")):
        assert time.monotonic() < deadline, workers
