"""A stack of fake services in a process of its own, started and watched by the tests. The stores are real."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import pytest

from deploy.local.errors import PortInUse
from deploy.local.ports import require_free
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.state import RunFolder, RunState
from tests.ports import LAUNCHERS, mine

ROOT = Path(__file__).resolve().parents[3]
FAKE_STACK = str(Path(__file__).with_name("fake_stack.py"))
RUN_AS_CHILD = "import subprocess, sys; subprocess.run(sys.argv[1:])"
NO_STORES = ("--only", "alpha,gateway")


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """A bounded wait on something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def base_port() -> int:
    """A public port whose neighbours, the services' ports, are free as well."""
    for _ in range(50):
        port = random.choice(mine(LAUNCHERS)[77:])
        try:
            require_free({str(p): ("127.0.0.1", p) for p in (port, port - 77, port - 76)})
        except PortInUse:
            continue
        return port
    raise AssertionError("no free ports")


@dataclass
class Launcher:
    """One `up` in the foreground of its own session, and the commands beside it."""

    data: Path
    port: int
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    @property
    def output(self) -> Path:
        return self.data.with_name(f"{self.data.name}.out")

    def up(self, *arguments: str) -> "Launcher":
        with self.output.open("w") as output:
            self.process = self._start("up", *arguments, output=output)
        return self

    def up_through_a_parent(self, *arguments: str) -> subprocess.Popen[str]:
        """As `make up` does: the launcher is the child of the process returned."""
        with self.output.open("w") as output:
            return self._start("up", *arguments, output=output, program=[sys.executable, "-c", RUN_AS_CHILD])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself: its whole output."""
        process = self._start(*arguments, output=subprocess.PIPE)
        text, _ = process.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, text)

    def until_ready(self) -> RunState:
        def ready() -> bool:
            assert self.process is None or self.process.poll() is None, self.text()
            state = self.state()
            ours = state is not None and (self.process is None or state.pid == self.process.pid)
            return ours and state is not None and state.state == "ready"

        wait_until(ready, 20, "ready")
        state = self.state()
        assert state is not None
        return state

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def state(self) -> RunState | None:
        return RunFolder(self.data / "run").read()

    def text(self) -> str:
        return self.output.read_text()

    def log(self, name: str) -> str:
        return (self.data / "logs" / f"{name}.log").read_text()

    def _start(self, *arguments: str, output: IO[str] | int, program: Sequence[str] = ()) -> subprocess.Popen[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BUREAU_")},
            "BUREAU_DATA": str(self.data),
            "BUREAU_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **self.variables,
        }
        return subprocess.Popen(
            [*program, sys.executable, FAKE_STACK, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def folder(quick_folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bureau-launch-", dir=quick_folder) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def prepared_cluster(quick_folder: Path) -> Iterator[Path]:
    """A data folder after its first start: copying one is quicker than making one."""
    with tempfile.TemporaryDirectory(prefix="bureau-launch-", dir=quick_folder) as path:
        with EmbeddedPostgres(Path(path)):
            pass
        yield Path(path)


@pytest.fixture
def cluster(folder: Path, prepared_cluster: Path) -> Path:
    return Path(shutil.copytree(prepared_cluster, folder / "cluster"))


@pytest.fixture
def new_launcher(folder: Path) -> Iterator[Callable[..., Launcher]]:
    made: list[Launcher] = []

    def make(name: str = "data", **variables: str) -> Launcher:
        made.append(Launcher(folder / name, base_port(), variables))
        return made[-1]

    yield make
    for launcher in made:
        if launcher.process and launcher.process.poll() is None:
            launcher.end(signal.SIGKILL)
        if launcher.state() is not None:  # killed, or detached
            launcher.run("down")


@pytest.fixture
def launcher(new_launcher: Callable[..., Launcher]) -> Launcher:
    return new_launcher()
