"""What both embedded stores share: one owner per data folder, a supervised server, a bounded wait until it is ready.

A store can be used alone: `with EmbeddedPostgres(folder) as postgres: connect(postgres.url)`. It is synchronous, so
that test fixtures can use it as it stands; the runner starts and stops it from a thread.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import psutil

from deploy.local import supervisor
from deploy.local.errors import StoreFailed
from deploy.local.files import last_lines, private_folder, write_whole
from deploy.local.lock import FolderLock
from deploy.local.pids import is_alive
from deploy.local.ports import free_port

START_TIMEOUT_S = 60.0  # a store that has to recover a large log is slow, not broken
STOP_TIMEOUT_S = 15.0
PORT_ATTEMPTS = 3


class EmbeddedStore(ABC):
    """A store's server under `data`: its files in `data/<name>`, its log, its lock and its password beside them."""

    name: ClassVar[str]
    stop_signals: ClassVar[tuple[tuple[int, float], ...]]
    """Signals in order, each with the seconds the server gets to obey."""

    def __init__(self, data: Path) -> None:
        data = data.resolve()
        self.folder = data / self.name
        self.log = data / "logs" / f"{self.name}.log"
        self.port = 0
        self._password_file = data / "secrets" / f"{self.name}.password"
        self._lock = FolderLock(data / "run" / f"{self.name}.lock")
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        # `stop` may come from another thread while `start` is still waiting.
        self._busy = threading.RLock()
        self._unwanted = threading.Event()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, password included. Valid once started."""

    @abstractmethod
    def _prepare(self) -> None:
        """Makes the data folder on the first start; refuses one that these binaries cannot read."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's command line for `self.port`."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether this start's server (not an earlier one) answers."""

    @abstractmethod
    def server_pid(self) -> int | None:
        """Pid of our server, or of an earlier start's that may still run on our folder."""

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _folder_to_remove(self) -> Path | None:
        """A temporary folder of the server that `_command` prepared: the supervisor removes it with the server."""
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers. Raises AlreadyRunning, MissingBinaries or StoreFailed."""
        with self._busy:
            self._lock.acquire()
            try:
                for folder in (self.folder.parent, self._password_file.parent, self.log.parent):
                    private_folder(folder)
                self._stop_left_behind()
                self._prepare()
                self._launch_on_a_free_port()
            except BaseException:
                self._stop_server()
                raise

    def stop(self) -> None:
        """Shuts the server down cleanly; harmless when it does not run."""
        self._unwanted.set()
        with self._busy:
            self._stop_server()
            self._unwanted.clear()

    def _stop_server(self) -> None:
        if self._supervisor is not None:
            self._end_supervisor(self._supervisor)
            self._supervisor = None
            self._stop_left_behind()  # only when somebody killed the supervisor itself
        self._lock.release()

    def has_stopped(self) -> bool:
        """Whether a started server is gone without `stop`."""
        return self._supervisor is not None and self._supervisor.poll() is not None

    def failure(self, what: str) -> StoreFailed:
        """An error that shows the end of this start's log."""
        lines = "".join(f"\n  | {line}" for line in last_lines(self.log, since=self._log_start))
        return StoreFailed(f"{self.name} {what}\nIts last lines ({self.log}):{lines or ' none'}")

    def password(self) -> str:
        """Made on first use, then kept."""
        if not self._password_file.exists():
            private_folder(self._password_file.parent)
            write_whole(self._password_file, secrets.token_urlsafe(24))
        return self._password_file.read_text().strip()

    def _launch_on_a_free_port(self) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self._launch()
                return
            except StoreFailed as failure:
                # Between our look and the server's bind somebody may have taken the port.
                # Or a killed server's last children still hold its shared memory, for a moment.
                if attempt == PORT_ATTEMPTS or "in use" not in str(failure):
                    raise
                if self._supervisor is not None:
                    self._end_supervisor(self._supervisor)  # it has ended; our end of its pipe has not
                time.sleep(0.5)

    def _launch(self) -> None:
        command = self._command()
        remove = self._folder_to_remove()
        order = {"command": command, "stop": self.stop_signals, "remove": str(remove) if remove else None}
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(order)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops us in order
                pass_fds=[] if self._lock.descriptor is None else [self._lock.descriptor],
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._supervisor.poll() is not None:
                raise self.failure("did not start")
            if self._unwanted.is_set():
                raise StoreFailed(f"{self.name} was stopped before it was ready")
            if time.monotonic() > deadline:
                self._end_supervisor(self._supervisor)
                raise self.failure(f"was not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(0.01)

    def _end_supervisor(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _stop_left_behind(self) -> None:
        """Stops a server that lost its supervisor (kill -9 of the supervisor): two on one folder would destroy it."""
        pid = self.server_pid()
        if pid is None or not self._is_our_server(pid):
            return
        for number, seconds in (*self.stop_signals, (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not is_alive(pid):
                    return
                time.sleep(0.01)
        raise StoreFailed(f"{self.name}: pid {pid} still runs on {self.folder} and cannot be stopped")

    def _is_our_server(self, pid: int) -> bool:
        """A pid in a file may long belong to somebody else: ours is a living process that works in our folder."""
        try:
            return is_alive(pid) and Path(psutil.Process(pid).cwd()) == self.folder
        except (psutil.Error, OSError):
            return False
