"""Worker processes on a real Valkey, and ways to start, steer and watch their jobs."""

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bureau_contracts.jobs import JobStatus
from kit.identity import generate_keypair
from services.jobs.store import Bounds
from tests.job_stores import Jobs, open_redis
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
PRIVATE, PUBLIC = generate_keypair()
Workers = Callable[..., "WorkerProcess"]


class WorkerProcess:
    def __init__(self, url: str, folder: Path, **settings: object) -> None:
        self.log = Path(tempfile.mkstemp(prefix="worker-", suffix=".log", dir=folder)[1])
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUREAU_", "JOBS_"))}
        environment |= {
            "BUREAU_IDENTITY_PRIVATE_KEY": PRIVATE,
            "JOBS_REDIS_URL": url,
            "JOBS_FUNCTION_MODULES": "tests.integration.jobs.functions_for_tests",
            **{f"JOBS_{name.upper()}": str(value) for name, value in settings.items()},
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.jobs.worker", "--lifeline"],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip

    async def ready(self) -> "WorkerProcess":
        await eventually(lambda: self.says("worker_ready"), seconds=20)
        return self

    def says(self, event: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return event in self.log.read_text()

    async def ended(self, *, seconds: float) -> int:
        await eventually(lambda: self.process.poll() is not None, seconds=seconds)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def workers_of(url: str, folder: Path) -> Iterator[Workers]:
    started: list[WorkerProcess] = []

    def start(**settings: object) -> WorkerProcess:
        started.append(WorkerProcess(url, folder, **settings))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            if each.process.poll() is None:
                each.kill()
            assert each.process.stdin is not None
            each.process.stdin.close()


@pytest.fixture
def workers(redis_url: str, tmp_path: Path) -> Iterator[Workers]:
    with workers_of(redis_url, tmp_path) as start:
        yield start


@pytest.fixture
async def jobs(redis_url: str) -> AsyncIterator[Jobs]:
    async with open_redis(Bounds(), redis_url) as opened:
        yield opened


@pytest.fixture
def notes(tmp_path: Path) -> "Notes":
    return Notes(tmp_path)


class Notes:
    """Where functions leave a line for each time that they were executed."""

    def __init__(self, folder: Path) -> None:
        self._file, self._go = folder / "notes", folder / "go"

    def step(self, name: str, *, seconds: float = 0, **fields: Any) -> dict[str, Any]:
        arguments = {"file": str(self._file), "seconds": seconds}
        return {"name": name, "kind": "function", "function": "note", "arguments": arguments} | fields

    def held_step(self, name: str, **fields: Any) -> dict[str, Any]:
        """A step that goes on when `let_go` is called."""
        arguments = {"file": str(self._file), "go": str(self._go)}
        return {"name": name, "kind": "function", "function": "until", "arguments": arguments} | fields

    def let_go(self) -> None:
        self._go.touch()

    def executions(self) -> Counter[str]:
        return Counter(self._file.read_text().split()) if self._file.exists() else Counter()


async def reach(jobs: Jobs, job_id: str, status: JobStatus, *, seconds: float = 20) -> None:
    async def reached() -> bool:
        return (await jobs.record(job_id)).status is status

    await eventually(reached, seconds=seconds)
