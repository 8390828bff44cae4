"""The one table of transitions."""

import re
from pathlib import Path

from bureau_contracts.jobs import JobStatus
from services.jobs import library
from services.jobs.library import Library
from services.jobs.states import DECISIONS, FINAL, STEERING, TABLE, Action, as_markdown, choices
from services.jobs.store import Bounds

SERVICE = Path(library.__file__).parent


def test_the_readme_prints_the_table() -> None:
    assert as_markdown() in (SERVICE / "README.md").read_text(), "print(services.jobs.states.as_markdown())"


def test_every_status_can_be_reached_and_every_job_can_be_run_again() -> None:
    reached = {target for sources in TABLE.values() for targets in sources.values() for target in targets}
    assert reached == set(JobStatus)
    left = {source for sources in TABLE.values() for source in sources}
    assert set(JobStatus) - left == set()
    assert {action for action, sources in TABLE.items() if set(sources) & FINAL} == {Action.RETRY}


def test_a_refusal_says_what_is_possible() -> None:
    assert choices(JobStatus.PAUSED) == ["resume", "cancel", "approve", "reject", "skip", "edit"]
    assert choices(JobStatus.SUCCEEDED) == ["retry"]


def test_every_action_of_a_caller_is_in_the_table() -> None:
    assert {*STEERING, *DECISIONS, Action.EDIT} < set(TABLE) == set(Action)


def test_the_library_is_given_the_whole_table() -> None:
    text = _plain(Library(Bounds()).text)
    assert "['retry'] = {['cancelled'] = {['queued'] = true" in text
    assert "['start'] = {['new'] = {" in text
    assert "local LEASE_MS = 5000\n" in text


def _plain(lua: str) -> str:
    """With its escaped names as they read."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1])), lua)


def test_libraries_of_other_settings_have_other_names() -> None:
    assert Library(Bounds()).name == Library(Bounds()).name != Library(Bounds(max_losses=7)).name


def test_there_is_no_function_that_nobody_calls() -> None:
    sources = "".join(path.read_text() for path in SERVICE.glob("*_redis.py"))
    names = {path.stem for path in (SERVICE / "lua").glob("*.lua")}
    assert {name for name in names if f'"{name}"' not in sources} == set()
