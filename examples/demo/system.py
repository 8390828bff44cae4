"""A Bureau of the demo's own: real processes on a throw-away data folder and free ports, gone afterwards."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60
STOP_SECONDS = 15
SERVICE_OFFSETS = range(3, 9)
"""A service's port is the public port - 80 + its offset."""


class System:
    """Starts and stops `bureau up`. `url` and `api_key` are those of the first administrator."""

    def __init__(self, data: Path, port: int) -> None:
        self._data, self._port = data, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Returns the seconds until everything is ready. Raises RuntimeError, with the last lines, when it is not."""
        began = time.monotonic()
        log = self._data / "up.log"
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "up"],
                cwd=ROOT, env={**os.environ, "BUREAU_DATA": str(self._data), "BUREAU_PORT": str(self._port)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        while b"ready" not in log.read_bytes().lower().split(b"not ready")[-1]:
            if self._process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise RuntimeError("Bureau did not start:\n" + "\n".join(log.read_text().splitlines()[-20:]))
            time.sleep(0.05)
        return time.monotonic() - began

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

    def key(self, user: str) -> str:
        """A new API key of an ordinary user."""
        command = [sys.executable, "-m", "gateway.keys", "create", "--file", str(self._data / "keys.json")]
        finished = subprocess.run(  # noqa: S603 - our own module
            [*command, "--tenant", "default", "--user", user], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return finished.stdout.strip()

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
def throw_away_system() -> Iterator[System]:
    """Not started yet; stopped and removed at the end, also after Ctrl-C or SIGTERM."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    with tempfile.TemporaryDirectory(prefix="bureau-demo-") as folder:
        system = System(Path(folder), free_port())
        try:
            yield system
        finally:
            system.stop()


def free_port() -> int:
    """A public port whose services' ports are free too."""
    for port in range(9080, 20000, 100):
        with contextlib.ExitStack() as held:
            try:
                for each in (port, *(port - 80 + offset for offset in SERVICE_OFFSETS)):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports between 9080 and 20000")
