"""What `bureau jobs watch` shows: a bar for each job and for each step under way, and when it has seen enough."""

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from bureau.cli import progress
from bureau.cli.progress import Bars
from bureau.cli.watching import _stands
from bureau_contracts.events import Event, EventType
from bureau_contracts.jobs import Job, JobStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMES = ("each", "look", "sum")


def job(job_id: str = "job-a", status: str = "running", current_step: int = 0, began: datetime | None = None) -> Job:
    steps = [
        {"index": n, "name": name, "kind": "wait", "status": "pending", "definition": {"name": name, "kind": "wait"},
         "started_at": began}
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    return Job.model_validate(
        {"job_id": job_id, "kind": "k", "title": "Digest", "tenant": "t", "owner": "ann", "status": status,
         "steps": steps, "current_step": current_step, "progress": 0, "created_at": NOON, "last_update": NOON}
    )  # fmt: skip


def event(kind: EventType, status: str = "in_progress", index: int | None = None, **data: Any) -> Event:
    about = {} if index is None else {"index": index, "step": NAMES[index]}
    subject = data.pop("subject", "job-a")
    return Event(seq=1, type=kind, status=status, timestamp=NOON, subject=subject, data=about | data)


ELAPSED = re.compile(r"\d:\d\d:\d\d\s*$")
MOVING = re.compile("[━╸╺⠀-⣿]+")
"""Bars and spinners."""
STARTED, FINISHED = EventType.STEP_STARTED, EventType.STEP_FINISHED
CHILD, MOVED = EventType.CHILD_ENDED, EventType.JOB_TRANSITION


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, force_terminal=True, width=140, color_system=None))
    return written


def left_on(screen: io.StringIO, *events: Event, jobs: tuple[Job, ...] = (job(),)) -> list[str]:
    """The bars as they stand after the events, without what moves in them."""
    with Bars(jobs) as bars:
        for each in events:
            bars.show(each)
    frame = screen.getvalue().rsplit("\x1b[2K", 1)[-1]
    bars_only = [ELAPSED.sub("", line) for line in frame.splitlines() if ELAPSED.search(line)]
    return [" ".join(MOVING.sub(" ", line).split()) for line in bars_only]


def test_a_step_under_way_has_a_bar_of_its_own_below_the_jobs(screen: io.StringIO) -> None:
    assert left_on(screen, event(STARTED, index=1)) == ["Digest 1 of 3", "2. look"]


def test_a_map_says_how_many_of_its_children_have_ended_and_failed(screen: io.StringIO) -> None:
    counted = [event(CHILD, child="job-a-0-0", ended=n, total=10, failed=n // 2) for n in (1, 2, 3)]
    assert left_on(screen, event(STARTED, index=0), *counted) == ["Digest 0 of 3", "1. each 3 of 10, 1 failed"]
    assert "child.ended  in_progress  1 of 10\n" in screen.getvalue().replace("\r", "")


def test_a_map_whose_beginning_is_no_longer_kept_is_counted_too(screen: io.StringIO) -> None:
    assert left_on(screen, event(CHILD, ended=700, total=900, failed=0)) == [
        "Digest 0 of 3", "children 700 of 900",
    ]  # fmt: skip


def test_a_step_says_how_far_it_is_in_its_own_words(screen: io.StringIO) -> None:
    told = event(EventType.STEP_PROGRESS, index=2, progress=0.4, note="row 4,000 [of 10,000]")
    assert left_on(screen, event(STARTED, index=2), told) == ["Digest 2 of 3", "3. sum 40%, row 4,000 [of 10,000]"]


def test_what_has_finished_is_counted_and_what_was_retried_is_taken_back(screen: io.StringIO) -> None:
    done = [each for n in range(3) for each in (event(STARTED, index=n), event(FINISHED, "passed", index=n))]
    assert left_on(screen, *done, event(MOVED, "succeeded")) == ["Digest 3 of 3"]
    again = [event(MOVED, "queued"), event(STARTED, index=1)]
    assert left_on(screen, *done, event(MOVED, "succeeded"), *again) == ["Digest 1 of 3", "2. look"]


def test_a_step_that_is_skipped_ahead_of_its_turn_moves_nothing(screen: io.StringIO) -> None:
    ahead = event(FINISHED, "skipped", index=2)
    assert left_on(screen, event(STARTED, index=0), ahead) == ["Digest 0 of 3", "1. each"]


def test_an_ended_job_leaves_no_step_under_way_and_says_why(screen: io.StringIO) -> None:
    failed = event(MOVED, "failed", reason="the deadline has passed")
    assert left_on(screen, event(STARTED, index=1), failed) == ["Digest 1 of 3"]
    assert "job.transition  failed  the deadline has passed" in screen.getvalue()


def test_several_jobs_have_bars_with_their_ids(screen: io.StringIO) -> None:
    jobs = (job("job-1234567"), job("job-7654321"))
    bars = left_on(screen, event(STARTED, index=1, subject="job-7654321"), jobs=jobs)
    assert bars == ["Digest 34567 0 of 3", "Digest 54321 1 of 3", "2. look"]
    assert "job-7654321  step.started" in screen.getvalue()


@pytest.mark.parametrize(
    ("now", "current"),
    [
        (job(status="waiting_approval", current_step=1, began=NOON), True),
        (job(status="waiting_approval", current_step=1, began=NOON + timedelta(seconds=1)), False),
        (job(status="succeeded", current_step=3), False),
        (job(status="running", current_step=1), False),
    ],
    ids=["waits there", "waits at a later step", "has ended since", "goes on"],
)
def test_a_wait_that_is_over_does_not_end_the_watching(now: Job, current: bool) -> None:
    assert _stands(now, event(MOVED, JobStatus.WAITING_APPROVAL)) is current
