"""The registry's file: what is on disk after writes, faults, damage and newer versions."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bureau_contracts.prompts import PromptRecord, PromptVersion
from bureau_contracts.registry import AgentRecord, Capabilities
from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord, ToolSource
from services.registry.document import Document
from services.registry.file_format import RegistryFileError
from services.registry.json_file import BACKUPS, JsonFile
from tests.registry_records import drop, put

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def agent(name: str, description: str = "") -> AgentRecord:
    return AgentRecord(
        name=name,
        description=description,
        factory_module="examples.agents.tickets",
        factory_function="create_agent",
        factory_params={"many": 10**40, "nested": [1.5, None, "é\u2028😀"]},
        capabilities=Capabilities(example_queries=["show my tickets"]),
        revision=1,
        registered_at=NOW,
        updated_at=NOW,
    )


TOOL = ToolRecord(
    name="jira", source=ToolSource.MCP_HTTP, url="http://jira/mcp", tenant_risks={"acme": {"close": Risk.CRITICAL}},
    revision=1, registered_at=NOW, updated_at=NOW,
)  # fmt: skip
PROMPT = PromptRecord(
    name="greeting",
    labels={"latest": 1},
    versions=[PromptVersion(version=1, text="Hello {{ user }}", variables=["user"], created_at=NOW)],
    revision=1,
)


def write(path: Path, *documents: Document) -> None:
    """As a process that writes each of these and ends."""
    file = JsonFile(path)
    file.open()
    for document in documents:
        file.write(document, NOW)
    file.close()


def read(path: Path) -> tuple[Document, str]:
    file = JsonFile(path)
    loaded = file.open()
    file.close()
    return loaded.document, loaded.trouble


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry" / "registry.json"


ONE = put(Document(), agent("one"))
TWO = put(ONE, agent("two"))
THREE = put(TWO, agent("three"))


def test_what_was_written_is_read_back(path: Path) -> None:
    document = drop(put(THREE, TOOL, PROMPT, agent("one", "changed")), "two")
    write(path, document)
    assert read(path) == (document, "")


def test_the_file_is_the_documented_json(path: Path) -> None:
    write(path, ONE)
    content = json.loads(path.read_text())
    assert list(content) == [
        "version",
        "last_updated",
        "seq",
        "told_from",
        "agents",
        "tools",
        "prompts",
        "revisions",
        "checksum",
    ]
    assert content["version"] == "1.1.0"
    assert content["last_updated"] == "2026-01-02T03:04:05Z"
    assert content["agents"]["one"]["factory_module"] == "examples.agents.tickets"


def test_an_empty_registry_can_be_written_and_read(path: Path) -> None:
    write(path, ONE, Document())
    assert read(path) == (Document(), "")


def test_the_first_start_begins_empty_and_without_complaint(path: Path) -> None:
    assert read(path) == (Document(), "")


def test_a_changed_record_is_written_and_a_removed_one_is_not(path: Path) -> None:
    changed = put(TWO, agent("one", "another description"))
    write(path, TWO, changed, drop(changed, "two"))
    agents = read(path)[0].agents
    assert {name: each.description for name, each in agents.items()} == {"one": "another description"}


def test_only_its_owner_may_read_the_file(path: Path) -> None:
    write(path, ONE)
    assert path.stat().st_mode & 0o777 == 0o600


def test_versions_before_are_kept_within_a_bound(path: Path) -> None:
    write(path, *[ONE, TWO, THREE] * 4)
    backups = [path.with_name(path.name + suffix) for suffix in (".backup", ".backup.1", ".backup.2")]
    assert [len(json.loads(backup.read_text())["agents"]) for backup in backups] == [2, 1, 3]
    assert len(backups) == BACKUPS
    assert {each.name for each in path.parent.iterdir()} == {
        path.name, path.name + ".lock", *(backup.name for backup in backups)
    }  # fmt: skip


def test_a_second_process_is_refused(path: Path) -> None:
    file = JsonFile(path)
    file.open()
    with pytest.raises(RegistryFileError, match="in use by another process"):
        JsonFile(path).open()
    file.close()
    assert read(path) == (Document(), "")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"garbage",
        b"\xff\xfe\x00",
        b"[]",
        b'{"version": "1.0.0"}',
        b'{"version": "one", "last_updated": "2026-01-01T00:00:00Z", "agents": {}}',
        b'{"version": 1, "last_updated": "2026-01-01T00:00:00Z", "agents": {}}',
        b'{"version": "1.0.0", "last_updated": "2026-01-01T00:00:00Z", "agents": {"one": {"name": "one"}}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_is_kept_aside_and_the_backup_is_loaded(path: Path, damage: bytes) -> None:
    write(path, ONE, TWO)
    path.write_bytes(damage)
    document, trouble = read(path)
    assert document == ONE.after_a_loss()
    (kept,) = path.parent.glob("registry.json.damaged-*")
    assert kept.read_bytes() == damage
    assert kept.name in trouble
    assert "registry.json.backup" in trouble


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_damaged(path: Path, share: float) -> None:
    write(path, ONE, TWO)
    os.truncate(path, int(path.stat().st_size * share))
    assert read(path)[0] == ONE.after_a_loss()


def test_an_agent_under_another_ones_name_is_damage(path: Path) -> None:
    write(path, ONE, TWO)
    content = json.loads(path.read_text())
    content["agents"]["other"] = content["agents"].pop("one")
    path.write_text(json.dumps(content))
    assert read(path)[0] == ONE.after_a_loss()


def test_the_newest_good_backup_is_the_one_that_is_loaded(path: Path) -> None:
    write(path, ONE, TWO, THREE)
    path.write_text("garbage")
    path.with_name("registry.json.backup").write_text("")
    document, trouble = read(path)
    assert document == ONE.after_a_loss()
    assert "registry.json.backup.1" in trouble
    assert len(list(path.parent.glob("*.damaged-*"))) == 2


def test_a_missing_file_with_a_backup_is_not_a_first_start(path: Path) -> None:
    write(path, ONE, TWO)
    path.unlink()
    document, trouble = read(path)
    assert document == ONE.after_a_loss()
    assert "was missing" in trouble


def test_without_a_good_version_it_starts_empty_and_says_so_until_something_is_written(path: Path) -> None:
    write(path, ONE)
    path.write_text("garbage")
    for _ in range(2):
        document, trouble = read(path)
        assert document == Document().after_a_loss()
        assert trouble.startswith("STARTED EMPTY")
    write(path, TWO)
    assert read(path) == (TWO, "")
    assert len(list(path.parent.glob("*.damaged-*"))) == 1


@pytest.mark.parametrize("version", ["2.0.0", "1.2.0", "10.0.0"])
def test_a_file_of_a_newer_bureau_is_refused_and_left_alone(path: Path, version: str) -> None:
    write(path, ONE)
    newer = json.dumps({"version": version, "something": "else"})
    path.write_text(newer)
    for _ in range(2):  # and the refusal has not kept the lock
        with pytest.raises(RegistryFileError, match="newer Bureau"):
            JsonFile(path).open()
    assert path.read_text() == newer


def test_a_newer_backup_is_refused_too(path: Path) -> None:
    write(path, ONE, TWO)
    path.with_name("registry.json.backup").write_text(json.dumps({"version": "2.0.0"}))
    path.unlink()
    with pytest.raises(RegistryFileError, match="newer Bureau"):
        JsonFile(path).open()


def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(RegistryFileError, match="cannot be read"):
        JsonFile(path).open()
    assert path.is_dir()


def test_what_a_crash_left_half_written_is_cleared_away(path: Path) -> None:
    write(path, ONE)
    path.with_name("registry.json.new").write_text('{"version": "1.0')
    assert read(path) == (ONE, "")
    assert not path.with_name("registry.json.new").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_changes_nothing_and_is_got_over(path: Path) -> None:
    file = JsonFile(path)
    file.open()
    file.write(ONE, NOW)
    path.with_name("registry.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        file.write(TWO, NOW)
    assert "two" not in path.read_text()
    file.write(THREE, NOW)
    file.close()
    assert read(path) == (THREE, "")


@pytest.mark.parametrize("documents", [(ONE,), (ONE, TWO)])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_sync_that_fails_leaves_what_was_there(path: Path, documents: tuple[Document, ...], failing: int) -> None:
    """The first sync of a write is the file's, the second the folder's: then the new file already has its name."""
    countdown = 10**9

    def sync(descriptor: int) -> None:
        nonlocal countdown
        countdown -= 1
        if countdown == 0:
            raise OSError(5, "Input/output error")
        os.fsync(descriptor)

    file = JsonFile(path, sync=sync)
    file.open()
    for document in documents[:-1]:
        file.write(document, NOW)
    countdown = failing
    with pytest.raises(OSError, match="Input/output"):
        file.write(documents[-1], NOW)
    file.close()
    assert read(path) == (documents[-2] if len(documents) > 1 else Document(), "")
    assert not path.with_name("registry.json.new").exists()


def test_without_hard_links_backups_are_copies(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    write(path, ONE, TWO)
    path.write_text("garbage")
    assert read(path)[0] == ONE.after_a_loss()


def test_a_closed_file_is_not_written(path: Path) -> None:
    file = JsonFile(path)
    file.open()
    file.close()
    with pytest.raises(OSError, match="closed"):
        file.write(ONE, NOW)
    assert not path.exists()
