"""What people do with memories from the command line, on a whole Bureau."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from examples.demo.system import System
from tests.command_line import invoked

Run = Callable[..., str]


@pytest.fixture
def run(system: System) -> Iterator[Run]:
    """Runs `bureau memory …` as somebody new. Gives what it printed; expects the exit code `code`."""
    run = partial(invoked, system, system.key("mira"), "memory")
    yield run
    run("erase", "mira", "--yes")


def stored(run: Run, text: str, *options: str) -> str:
    return run("add", text, *options).split()[0]


def found(run: Run, *arguments: str) -> list[str]:
    return [hit["memory"]["text"] for hit in json.loads(run("search", *arguments, "--json"))["results"]]


def test_a_search_is_narrowed_and_bad_options_are_told_in_a_line(run: Run) -> None:
    stored(run, "Prefers green tea", "--kind", "preference")
    stored(run, "The tea house closes at six")
    assert found(run, "tea", "--kind", "preference") == ["Prefers green tea"]
    assert found(run, "house", "--mode", "text") == ["The tea house closes at six"]
    assert found(run, "tea", "--filter", '{"eq": ["project", "atlas"]}') == []
    assert found(run, "tea", "--min-score", "2") == []
    assert found(run, "tea", "--as-of", "2020-01-01T00:00:00Z") == []
    assert "--filter is no JSON" in run("search", "tea", "--filter", "{", code=1)
    assert "as_of" in run("search", "tea", "--as-of", "yesterday", code=1)
    assert "Traceback" not in run("add", "x" * 200_000, code=1)


def test_a_memorys_life_is_followed_to_its_end(run: Run, tmp_path: Path) -> None:
    old = stored(run, "Lives in Bergen")
    new = run("supersede", old, "Lives in Oslo").split()[0]
    assert found(run, "Bergen", "--mode", "text") == []
    assert found(run, "lives") == ["Lives in Oslo"]
    assert json.loads(run("history", new, "--json")) == {"versions": []}
    stored(run, "Lives in Oslo now")
    assert "Lives in Oslo now" in run("similar", "--above", "0.5")
    run("delete", new)
    assert found(run, "lives") == ["Lives in Oslo now"]
    run("restore", new)
    assert sorted(found(run, "lives")) == ["Lives in Oslo", "Lives in Oslo now"]
    kept = tmp_path / "kept.jsonl"
    assert "3 memories written" in run("export", str(kept))
    assert "3 memories of mira are erased" in run("erase", "mira", "--yes")
    assert found(run, "lives") == []
    assert "3 of 3 memories stored" in run("import", str(kept))
    assert sorted(found(run, "lives")) == ["Lives in Oslo", "Lives in Oslo now"]
