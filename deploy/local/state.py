"""What a running launcher tells others about itself: `data/run/`. Read by `status`, `down`, `logs` and by tests."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.files import write_whole


@dataclass
class ProcessState:
    state: str
    pid: int | None = None
    url: str | None = None
    log: str = ""


@dataclass
class RunState:
    pid: int
    state: str
    """starting, ready or stopping"""
    url: str
    processes: dict[str, ProcessState] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def pid(self) -> Path:
        return self.path / "pid"

    @property
    def stores(self) -> Path:
        """DATABASE_URL and REDIS_URL of the embedded stores, while they run."""
        return self.path / "stores.env"

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def restart(self) -> Path:
        """Which processes to restart, for the launcher to read when it gets SIGUSR1."""
        return self.path / "restart.json"

    def write(self, state: RunState) -> None:
        write_whole(self.state, json.dumps(asdict(state), indent=2) + "\n")

    def read(self) -> RunState | None:
        try:
            raw = json.loads(self.state.read_text())
        except FileNotFoundError:
            return None
        processes = {name: ProcessState(**process) for name, process in raw.pop("processes").items()}
        return RunState(**raw, processes=processes)

    def clear(self) -> None:
        """What a stopped launcher leaves: the lock's file alone."""
        for path in (self.pid, self.stores, self.state, self.restart):
            path.unlink(missing_ok=True)
