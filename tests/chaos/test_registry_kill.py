"""kill -9 of a registry in the middle of its writes: what was acknowledged is there, and nothing is left behind."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.registry.json_file import JsonFile
from tests.chaos import registry_writer

ROOT = Path(__file__).resolve().parents[2]
LEFT_BEHIND = {"registry.json", "registry.json.lock", *(f"registry.json.backup{n}" for n in ("", ".1", ".2"))}


@pytest.mark.parametrize("rounds", [5, pytest.param(1000, marks=pytest.mark.chaos)])
def test_every_acknowledged_change_survives_kill_9(tmp_path: Path, rounds: int) -> None:
    path, acknowledged = tmp_path / "registry.json", dict[str, int]()
    chance = random.Random(rounds)
    for _ in range(rounds):
        for line in _lines_until_killed(path, after=chance.randint(1, 1000)):
            name, revision = line.split()
            assert int(revision) == acknowledged.get(name, 0) + 1
            acknowledged[name] = int(revision)
        file = JsonFile(path)
        loaded = file.open()
        file.close()
        assert loaded.trouble == ""
        found = {name: agent.revision for name, agent in loaded.document.agents.items()}
        # At most one change per writer was written and not yet acknowledged.
        assert all(0 <= stored - acknowledged.get(name, 0) <= 1 for name, stored in found.items())
        assert acknowledged.keys() <= found.keys()
        acknowledged = found
        assert {each.name for each in tmp_path.iterdir()} <= LEFT_BEHIND


def _lines_until_killed(path: Path, after: int) -> list[str]:
    """What the writer acknowledged, killed once it has acknowledged `after` changes."""
    writer = subprocess.Popen(
        [sys.executable, registry_writer.__file__, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert writer.stdout is not None
    with writer.stdout:
        lines = [writer.stdout.readline() for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    assert writer.wait(10) == -signal.SIGKILL
    return [line for line in lines if line.endswith("\n")]
