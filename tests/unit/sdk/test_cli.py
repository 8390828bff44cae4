"""The command line: where it finds Bureau, and what it says when it does not."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bureau.cli import app
from bureau.cli.settings import NotConfigured, address, data_folder
from bureau.cli.terminal import short

COMMANDS = [
    ["chat"], ["agents", "list"], ["agents", "show"], ["agents", "register"], ["agents", "enable"],
    ["agents", "disable"], ["agents", "delete"], ["agents", "route"],
    ["agents", "import"], ["agents", "export"], ["agents", "revisions"], ["agents", "restore"], ["tools", "list"],
    ["tools", "show"], ["tools", "refresh"], ["tools", "call"],
    ["prompts", "list"], ["prompts", "show"], ["prompts", "render"],
    ["sessions", "list"], ["sessions", "show"], ["sessions", "compact"], ["sessions", "summary"],
    ["sessions", "sweep"], ["sessions", "resume"], ["sessions", "cleanup"], ["sessions", "erase"],
    ["sessions", "fork"], ["sessions", "rewind"], ["sessions", "branches"], ["sessions", "archive"],
    ["sessions", "backup"], ["sessions", "search"], ["sessions", "export"], ["sessions", "import"],
    ["sessions", "purge"], ["memory", "add"], ["memory", "search"], ["memory", "list"], ["memory", "delete"],
    ["memory", "history"], ["memory", "similar"], ["memory", "erase"],
    ["jobs", "run"], ["jobs", "list"], ["jobs", "show"], ["jobs", "watch"], ["jobs", "pause"],
    ["jobs", "resume"], ["jobs", "cancel"], ["jobs", "retry"], ["jobs", "approve"], ["jobs", "reject"],
    ["jobs", "skip"], ["jobs", "edit"], ["jobs", "batch"], ["jobs", "dead"], ["jobs", "requeue"], ["jobs", "queues"],
    ["jobs", "workers"], ["jobs", "webhook-key"],
    *(["jobs", "schedules", each] for each in ("list", "show", "add", "pause", "resume", "run", "delete")),
    ["jobs", "check"], ["keys", "list"], ["keys", "disable"],
    ["health"], ["doctor"], ["down"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BUREAU_URL", "BUREAU_API_KEY", "BUREAU_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_without_a_running_bureau_it_says_what_to_do() -> None:
    result = CliRunner().invoke(app, ["health"])
    assert result.exit_code == 2
    assert "make up" in result.output


def test_the_data_folder_of_the_nearest_folder_above_is_found(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / ".bureau").mkdir()
    (nowhere / ".bureau" / "client.env").write_text("# private\nBUREAU_URL=http://here\nBUREAU_API_KEY=bk_1\n")
    (nowhere / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(nowhere / "deep" / "down")
    assert data_folder() == nowhere / ".bureau"
    assert address().url == "http://here"


def test_the_environment_wins_over_the_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "client.env").write_text("BUREAU_URL=http://here\nBUREAU_API_KEY=bk_1\n")
    monkeypatch.setenv("BUREAU_DATA", str(nowhere))
    monkeypatch.setenv("BUREAU_URL", "http://there")
    assert (address().url, address().api_key) == ("http://there", "bk_1")


def test_half_a_configuration_names_the_missing_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_URL", "http://there")
    with pytest.raises(NotConfigured, match="BUREAU_API_KEY"):
        address()


def test_a_runbook_that_is_wrong_is_refused_before_anything_is_sent(nowhere: Path) -> None:
    (nowhere / "book.yaml").write_text("title: x\nsteps: [{name: a, kind: dance}]\n")
    result = CliRunner().invoke(app, ["jobs", "run", "book.yaml"])
    assert result.exit_code == 1
    assert "kind" in result.output


def test_long_text_is_shortened_to_one_line() -> None:
    assert short("a\n b   c") == "a b c"
    assert short("x" * 100, 10) == "x" * 9 + "…"
