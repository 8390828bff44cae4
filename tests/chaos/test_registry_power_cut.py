"""Power cuts at every sync of a registry's writes: only what was synced by then is there afterwards.

kill -9 leaves what the kernel holds, so it cannot tell a written file from a durable one. Here the medium is played: a
file's bytes are on it once the file was synced, and a folder's names are as they were at its last sync or as they are
now, whichever is worse.
"""

import asyncio
import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bureau_contracts.registry import AgentRecord
from services.registry.document import Document
from services.registry.json_file import JsonFile
from services.registry.store_json import JsonStore, open_json_store
from tests.fakes import FixedClock
from tests.registry_records import put

WRITERS, CHANGES = 6, 45
"""Writers whose changes share a write make some CHANGES writes: enough that even one skipped in twenty is noticed."""


@dataclass
class Medium:
    """What a power cut would leave of a folder of files that are written once and renamed."""

    folder: Path
    acknowledged: dict[str, int] = field(default_factory=dict)
    cuts: int = 0
    _synced: dict[int, bytes] = field(default_factory=dict)
    """By inode."""
    _at_last_sync: dict[str, bytes] = field(default_factory=dict)
    """The folder, file by file."""

    def sync(self, descriptor: int) -> None:
        self.cut()
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._at_last_sync = self._now()
        else:
            (path,) = (each for each in self._files() if each.stat().st_ino == status.st_ino)
            self._synced[status.st_ino] = path.read_bytes()
        self.cut()

    def cut(self) -> None:
        """Fails unless every acknowledged change would be found again."""
        promised = dict(self.acknowledged)
        for left in (self._at_last_sync, self._now()):
            agents = _start_from(left).agents
            assert all(name in agents and agents[name].revision >= revision for name, revision in promised.items())
        self.cuts += 1

    def _now(self) -> dict[str, bytes]:
        """A file whose bytes were not synced is empty."""
        return {path.name: self._durable(path) for path in self._files()}

    def _durable(self, path: Path) -> bytes:
        content = path.read_bytes()
        return content if self._synced.get(path.stat().st_ino) == content else b""

    def _files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.suffix != ".lock"]


def _start_from(left: dict[str, bytes]) -> Document:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in left.items():
            (Path(folder) / name).write_bytes(content)
        file = JsonFile(Path(folder) / "registry.json")
        loaded = file.open()
        file.close()
    assert loaded.trouble == ""
    return loaded.document


async def _change_often(store: JsonStore, medium: Medium, record: AgentRecord) -> None:
    for _ in range(CHANGES):
        document = await store.commit(lambda document: put(document, record))
        medium.acknowledged[record.name] = document.agents[record.name].revision
        medium.cut()


async def test_a_power_cut_at_any_moment_keeps_every_acknowledged_change(tmp_path: Path) -> None:
    clock, medium = FixedClock(), Medium(tmp_path)
    async with (
        open_json_store(JsonFile(tmp_path / "registry.json", sync=medium.sync), clock) as store,
        asyncio.TaskGroup() as group,
    ):
        for number in range(WRITERS):
            record = AgentRecord(
                name=f"agent-{number}", http="http://agent/turn",
                revision=1, registered_at=clock.now(), updated_at=clock.now(),
            )  # fmt: skip
            group.create_task(_change_often(store, medium, record))
    assert medium.cuts > 4 * CHANGES
    assert medium.acknowledged == {f"agent-{number}": CHANGES for number in range(WRITERS)}
