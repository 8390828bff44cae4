"""A Bureau of the demo's own: real processes on a throw-away data folder and free ports, gone afterwards."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60
STOP_SECONDS = 15
SERVICE_NUMBERS = {"registry": 3, "sessions": 4, "memory": 5, "jobs": 6, "runtime": 7, "evaluation": 8}
"""A service's port is the public port - 80 + its number."""


class System:
    """Starts and stops `bureau up`. `url` and `api_key` are those of the first administrator."""

    def __init__(self, data: Path, port: int, settings: Mapping[str, str] | None = None) -> None:
        self._data, self._port, self._settings = data, port, settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Returns the seconds until everything is ready. Raises RuntimeError, with the last lines, when it is not."""
        began = time.monotonic()
        log = self._data / "up.log"
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "up", "--with-parent"],
                cwd=ROOT,
                env={**os.environ, **self._settings, "BUREAU_DATA": str(self._data), "BUREAU_PORT": str(self._port)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise RuntimeError("Bureau did not start:\n" + "\n".join(log.read_text().splitlines()[-20:]))
            time.sleep(0.05)
        return time.monotonic() - began

    def _ready(self) -> bool:
        """What the launcher says of the run that we started, not of one before."""
        assert self._process is not None
        try:
            state = json.loads((self._data / "run" / "state.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(state["state"] == "ready" and state["pid"] == self._process.pid)

    def stop(self) -> None:
        """As Ctrl-C does; what has not ended after a while is killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
            return
        self._process.kill()
        self._process.wait()

    def restart(self, *names: str) -> None:
        """Kills these of its processes as `kill -9` does; returns when they are there again."""
        subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "deploy.local", "restart", "--hard", *names],
            cwd=ROOT, env={**os.environ, "BUREAU_DATA": str(self._data)}, check=True, capture_output=True,
            timeout=READY_SECONDS,
        )  # fmt: skip

    def wait(self) -> None:
        """Until the process that was started has ended."""
        assert self._process is not None
        self._process.wait(STOP_SECONDS)

    def key(self, user: str, *, tenant: str = "default", scopes: Sequence[str] = ()) -> str:
        """A new API key."""
        command = [sys.executable, "-m", "gateway.keys", "create", "--file", str(self._data / "keys.json")]
        scoped = [word for scope in scopes for word in ("--scope", scope)]
        finished = subprocess.run(  # noqa: S603 - our own module
            [*command, "--tenant", tenant, "--user", user, *scoped],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return finished.stdout.strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self._data / "logs"

    def service_url(self, service: str) -> str:
        """Where a service listens itself, behind the gateway."""
        return f"http://127.0.0.1:{self._port - 80 + SERVICE_NUMBERS[service]}"

    @property
    def url(self) -> str:
        return self._client["BUREAU_URL"]

    @property
    def api_key(self) -> str:
        return self._client["BUREAU_API_KEY"]

    @property
    def _client(self) -> dict[str, str]:
        lines = (self._data / "client.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


@contextlib.contextmanager
def throw_away_system(settings: Mapping[str, str] | None = None) -> Iterator[System]:
    """Not started yet; stopped and removed at the end, also after Ctrl-C or SIGTERM. `settings` are variables."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    with tempfile.TemporaryDirectory(prefix="bureau-demo-") as folder:
        system = System(Path(folder), free_port(), settings)
        try:
            yield system
        finally:
            system.stop()


def free_port() -> int:
    """A public port whose services' ports are free too."""
    for port in range(9080, 20000, 100):
        with contextlib.ExitStack() as held:
            try:
                for each in (port, *(port - 80 + offset for offset in SERVICE_NUMBERS.values())):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports between 9080 and 20000")
