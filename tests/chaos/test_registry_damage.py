"""A registry's files damaged anywhere: the newest version that is whole is loaded exactly, and what is not is kept."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bureau_contracts.registry import AgentRecord, Capabilities, ChangeType, Kind
from services.registry.document import Document, Stamp
from services.registry.file_format import RegistryFileError
from services.registry.json_file import JsonFile, Loaded
from tests.chaos.registry_process import running_registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = ("registry.json", "registry.json.backup", "registry.json.backup.1", "registry.json.backup.2")
"""Newest first."""


@dataclass(frozen=True)
class Damage:
    """To `length` bytes from `offset` on, a share of the file."""

    kind: str
    offset: float
    length: int

    def apply(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = int(self.offset * len(content))
        harmed = slice(at, min(at + self.length, len(content)))
        match self.kind:
            case "flip":
                content[harmed] = bytes(byte ^ 0x01 for byte in content[harmed])
            case "zero":
                content[harmed] = bytes(len(content[harmed]))
            case "cut out":
                del content[harmed]
            case "cut off":
                del content[at:]
            case "double":
                content[at:at] = content[harmed]
        path.write_bytes(content)


KINDS = ("flip", "zero", "cut out", "cut off", "double")
DAMAGE = st.builds(Damage, st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 5000))
SMALL_DAMAGE = st.builds(Damage, st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 3))


def _history() -> list[Document]:
    """Four documents, each a change after the one before."""
    stamp = Stamp(NOW, "acme/olga")
    document, made = Document(), []
    for number in range(4):
        agent = AgentRecord(
            name=f"agent-{number}", description="é😀 " * 9, tags=["finance", "eu"], http="http://agent/turn",
            capabilities=Capabilities(example_queries=["show my tickets"]),
            revision=1, registered_at=NOW, updated_at=NOW,
        )  # fmt: skip
        document = document.put(agent, ChangeType.REGISTERED, stamp)
        document = document.put(agent.model_copy(update={"enabled": False}), ChangeType.UPDATED, stamp)
        if number == 2:
            document = document.drop(Kind.AGENT, "agent-0", stamp)
        made.append(document)
    return made


HISTORY = _history()


@pytest.fixture(scope="module")
def written() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "registry.json")
        yield Path(folder)


def _write(path: Path) -> None:
    file = JsonFile(path)
    file.open()
    for document in HISTORY:
        file.write(document, NOW)
    file.close()


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        yield Path(copy) / "registry.json"


def _load(path: Path) -> Loaded:
    file = JsonFile(path)
    try:
        return file.open()
    finally:
        file.close()


def _content(document: Document) -> tuple[object, ...]:
    return document.agents, document.tools, document.prompts, document.revisions


@settings(max_examples=400, deadline=None)
@given(damages=st.dictionaries(st.sampled_from(NAMES), DAMAGE | SMALL_DAMAGE, min_size=1))
@example({name: Damage("flip", 0.5, 1) for name in NAMES})
@example({"registry.json": Damage("cut off", 0, 1)})
def test_whatever_is_damaged_the_newest_whole_version_is_loaded_and_the_rest_is_kept(
    written: Path, damages: Mapping[str, Damage]
) -> None:
    with _copied(written) as path:
        for name, damage in damages.items():
            damage.apply(path.with_name(name))
        before = {name: path.with_name(name).read_bytes() for name in NAMES}
        harmless = [before[name] == (written / name).read_bytes() for name in NAMES]
        whole = harmless.index(True) if True in harmless else len(NAMES)

        loaded = _load(path)

        versions = [*map(_content, reversed(HISTORY)), _content(Document())]
        assert _content(loaded.document) in versions[: whole + 1]
        found = versions.index(_content(loaded.document))
        assert bool(loaded.trouble) == (found > 0)
        assert ("STARTED EMPTY" in loaded.trouble) == (found == len(NAMES))
        for name in NAMES[:found]:
            (kept,) = path.parent.glob(f"{name}.damaged-*")
            assert kept.read_bytes() == before[name]
            assert kept.name in loaded.trouble
        for name in NAMES[found:]:
            assert path.with_name(name).read_bytes() == before[name]
        assert _content(_load(path).document) == versions[found]


async def test_a_running_registry_says_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    _write(path)
    Damage("flip", 0.3, 1).apply(path)
    async with running_registry(path) as registry, registry.client() as client:
        health = (await client.get("/health")).json()
        assert health["status"] == "degraded"
        assert "damaged and kept: registry.json.damaged-" in health["dependencies"]["file"]["detail"]
        agents = (await client.get("/registry/agents")).json()["agents"]
        assert [agent["name"] for agent in agents] == sorted(HISTORY[-2].agents)
    for name in NAMES:
        if path.with_name(name).exists():
            Damage("zero", 0, 10**6).apply(path.with_name(name))
    async with running_registry(path) as registry, registry.client() as client:
        health = (await client.get("/health")).json()
        assert health["status"] == "degraded"
        assert "STARTED EMPTY" in health["dependencies"]["file"]["detail"]
        assert (await client.get("/registry/agents")).json()["agents"] == []


def test_files_set_aside_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        file = JsonFile(path, now=lambda: NOW)  # a clock that stands still, or was put back
        file.open()
        file.close()
    assert {kept.read_bytes() for kept in tmp_path.glob("*.damaged-*")} == {b"one", b"two", b"three"}


def test_a_second_process_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    _write(path)
    file = JsonFile(path)
    file.open()
    path.with_name("registry.json.new").write_bytes(b"a write that is under way")
    with pytest.raises(RegistryFileError, match="in use by another process"):
        JsonFile(path).open()
    assert path.with_name("registry.json.new").exists()
    file.close()


def test_a_folder_in_the_files_place_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.mkdir()
    (path / "something").touch()
    with pytest.raises(RegistryFileError, match="cannot be read"):
        JsonFile(path).open()
    assert os.listdir(path) == ["something"]


def test_a_file_that_turns_into_a_folder_refuses_writes_until_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    _write(path)
    file = JsonFile(path)
    file.open()
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write(HISTORY[0], NOW)
    assert not path.with_name("registry.json.new").exists()
    path.rmdir()
    file.write(HISTORY[0], NOW)
    file.close()
    assert _load(path).document == HISTORY[0]


def test_a_folder_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryFileError, match=r"file/registry\.json cannot be used"):
        JsonFile(tmp_path / "file" / "registry.json").open()
    (tmp_path / "registry.json.lock").mkdir()
    with pytest.raises(RegistryFileError, match="cannot be used"):
        JsonFile(tmp_path / "registry.json").open()
