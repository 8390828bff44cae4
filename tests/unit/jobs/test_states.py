"""The one table of transitions."""

from pathlib import Path

from bureau_contracts.jobs import JobStatus
from services.jobs import scripts
from services.jobs.states import DECISIONS, FINAL, STEERING, TABLE, Action, as_markdown, choices
from services.jobs.store import Bounds

SERVICE = Path(scripts.__file__).parent


def test_the_readme_prints_the_table() -> None:
    assert as_markdown() in (SERVICE / "README.md").read_text(), "print(services.jobs.states.as_markdown())"


def test_every_status_can_be_reached_and_only_final_ones_end() -> None:
    reached = {target for sources in TABLE.values() for targets in sources.values() for target in targets}
    assert reached == set(JobStatus)
    left = {source for sources in TABLE.values() for source in sources}
    # A failed job may be retried.
    assert set(JobStatus) - left == FINAL - {JobStatus.FAILED}


def test_a_refusal_says_what_is_possible() -> None:
    assert choices(JobStatus.PAUSED) == ["resume", "cancel", "approve", "reject", "skip"]
    assert choices(JobStatus.SUCCEEDED) == []


def test_every_action_of_a_caller_is_in_the_table() -> None:
    assert {*STEERING, *DECISIONS} < set(TABLE) == set(Action)


def test_the_scripts_are_given_the_whole_table() -> None:
    text = scripts.Scripts(Bounds())["steer"]
    assert "retry = {failed = {queued = true, scheduled = true, waiting_approval = true}" in text
    assert "start = {new = {" in text
    assert "local LEASE_MS = 5000\n" in text


def test_there_is_no_script_that_nobody_runs() -> None:
    sources = "".join(path.read_text() for path in SERVICE.glob("*_redis.py"))
    names = {path.stem for path in (SERVICE / "lua").glob("*.lua")} - {"prelude", "schedules"}
    assert {name for name in names if f'"{name}"' not in sources} == set()
