"""Runbooks from the command line, through the gateway: watched over lines that break, approved, and gone on with."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

from bureau import Bureau
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import JobsStarted, JobStarted, JobStatus, StartJob
from examples.demo.system import System
from tests.breaking_line import BreakingLine, breaking_line
from tests.command_line import CommandLine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "runbooks"
PATIENCE_SECONDS = 120
BREAKS = (900, 1250, 1600)
"""Bytes: head and an event or two, and then a part of one."""


async def test_a_runbook_is_watched_over_a_line_that_breaks_and_approved_from_the_command_line(
    system: System, ada: Bureau, ada_key: str, tmp_path: Path
) -> None:
    async with breaking_line(system.url, BREAKS) as line:
        shaky = CommandLine(tmp_path, line.url, ada_key)
        book = str(EXAMPLES / "cost-review.yaml")
        code, out, err = await shaky.run("jobs", "run", book, "--set", "month=2026-09", "--watch", "--json")
        assert code == 0, err
        first, *lines = out.splitlines()
        job_id = JobStarted.model_validate_json(first).job_id
        seen = [Event.model_validate_json(each) for each in lines]
        assert (await ada.jobs.get(job_id)).status is JobStatus.WAITING_APPROVAL
        assert_broken_and_taken_up(line, seen)

        steady = CommandLine(tmp_path, system.url, ada_key)
        code, out, err = await steady.run("jobs", "approve", job_id, "2", "--comment", "as agreed", "--json")
        assert code == 0, err
        assert json.loads(out)["job_id"] == job_id

        line.positions.clear()
        code, out, err = await shaky.run("jobs", "watch", job_id, "--json")
        assert code == 0, err
        whole = [Event.model_validate_json(each) for each in out.splitlines()]
        assert_broken_and_taken_up(line, whole)

    assert whole[: len(seen)] == seen
    assert whole == [event async for event in ada.jobs.events(job_id)], "what an unbroken line shows"
    assert (whole[-1].type, whole[-1].status) == (EventType.JOB_TRANSITION, "succeeded")
    job = await ada.jobs.get(job_id)
    assert job.steps[2].verdict is not None
    assert (job.steps[2].verdict["by"], job.steps[2].verdict["comment"]) == ("ada", "as agreed")


def assert_broken_and_taken_up(line: BreakingLine, events: list[Event]) -> None:
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), "none lost, none twice, in order"
    assert len(line.positions) >= 3, "it was cut again and again"
    assert line.positions == sorted(line.positions, key=int)
    assert line.positions[0] == "0"
    assert 0 < int(line.positions[-1]) < events[-1].seq + 1


async def test_streams_go_on_when_the_gateway_is_killed_while_two_jobs_wait_for_an_approval(
    system: System, ada: Bureau, ada_key: str, tmp_path: Path
) -> None:
    steps = [{"name": "nap", "kind": "wait", "seconds": 0.2}, {"name": "look", "kind": "breakpoint"},
             {"name": "after", "kind": "wait", "seconds": 0.2}]  # fmt: skip
    job = StartJob.model_validate({"title": "t", "steps": steps})
    ids = [each.job_id for each in (await ada.jobs.start_all([job, job])).jobs]
    command = CommandLine(tmp_path, system.url, ada_key)
    seen: list[Event] = []
    waiting = set[str]()
    async with aclosing(ada.jobs.events_of(ids)) as events, asyncio.timeout(PATIENCE_SECONDS):
        async for event in events:
            seen.append(event)
            if event.type is EventType.BREAKPOINT_HIT:
                waiting.add(event.subject)
                if len(waiting) == 2:
                    await asyncio.to_thread(system.restart, "gateway")
                    for job_id in ids:
                        code, _, err = await command.run("jobs", "approve", job_id, "1")
                        assert code == 0, err

    for job_id in ids:
        own = [event for event in seen if event.subject == job_id]
        assert own == [event async for event in ada.jobs.events(job_id)]
        assert [event.seq for event in own] == list(range(1, len(own) + 1))
        assert own[-1].status == "succeeded"


async def test_several_runbooks_are_started_and_watched_together_and_their_children_counted(
    system: System, ada: Bureau, ada_key: str, tmp_path: Path
) -> None:
    command = CommandLine(tmp_path, system.url, ada_key)
    digest, review = (str(EXAMPLES / name) for name in ("ticket-digest.yaml", "monday-review.yaml"))
    arguments = (
        "jobs",
        "batch",
        digest,
        review,
        "--set",
        'tickets=["T-1001","T-9999"]',
        "--key",
        "both",
        "--priority",
        "7",
    )
    code, out, err = await command.run(*arguments, "--watch")
    assert code == 0, err
    ids = [line.split()[0] for line in out.splitlines()[:2]]
    jobs = [await ada.jobs.get(job_id) for job_id in ids]
    assert [(job.title, job.status, job.priority) for job in jobs] == [
        ("Digest of tickets", JobStatus.SUCCEEDED, 7), ("Monday review", JobStatus.SUCCEEDED, 7),
    ]  # fmt: skip
    assert "child.ended  succeeded  1 of 2" in out
    assert "2 of 2" in out
    for job_id in ids:
        assert f"{job_id} succeeded" in out

    code, out, err = await command.run(*arguments, "--json")
    again = JobsStarted.model_validate_json(out)
    assert [(each.job_id, each.created) for each in again.jobs] == [(job_id, False) for job_id in ids]

    code, out, err = await command.run("jobs", "list", "--parent", ids[0], "--json")
    assert [row["title"] for row in json.loads(out)["jobs"]] == ["Digest of tickets [1]", "Digest of tickets [0]"]


async def test_what_a_tool_lists_is_mapped_over_and_another_tool_acts_once_somebody_agreed(
    system: System, ada: Bureau, ada_key: str, tmp_path: Path
) -> None:
    command = CommandLine(tmp_path, system.url, ada_key)
    waiting, close = (str(EXAMPLES / name) for name in ("waiting-tickets.yaml", "close-ticket.yaml"))
    code, out, err = await command.run("jobs", "run", waiting, "--watch", "--json")
    assert code == 0, err
    job = await ada.jobs.get(JobStarted.model_validate_json(out.splitlines()[0]).job_id)
    (details,) = job.steps[1].result
    assert (details["status"], details["result"]["result"]["ticket_id"]) == ("succeeded", "T-1002")

    code, out, err = await command.run("jobs", "run", close, "--set", "ticket=T-1002", "--watch")
    assert code == 0, err
    job_id = out.split()[0]
    assert (await ada.jobs.get(job_id)).status is JobStatus.WAITING_APPROVAL
    assert (await command.run("jobs", "approve", job_id, "1"))[0] == 0
    code, out, err = await command.run("jobs", "watch", job_id)
    assert code == 0, err
    closed = await ada.jobs.get(job_id)
    assert closed.steps[2].result["result"] == {"ticket_id": "T-1002", "status": "closed"}
