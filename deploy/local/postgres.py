"""Postgres with pgvector as an embedded store: on the loopback address, with a password, kept in `data/postgres`."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psutil

from deploy.local.binaries import PostgresBinaries, as_ordinary_user, find_postgres
from deploy.local.errors import StoreFailed
from deploy.local.files import write_whole
from deploy.local.store import EmbeddedStore

USER = "bureau"
DATABASE = "bureau"
# sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero included.
SOCKET_PATH_LIMIT = 103
SOCKET_FOLDER_PREFIX = "bureau-pg-"
# A fast server may lose or damage its data when the machine stops: for throw-away data only.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedStore):
    """`fast` switches durability off, for tests on throw-away folders."""

    name = "postgres"
    # "Fast shutdown" ends the sessions and checkpoints; "immediate" leaves a recovery to the next start.
    stop_signals = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 1.0))

    def __init__(self, data: Path, *, fast: bool = False, binaries: PostgresBinaries | None = None) -> None:
        super().__init__(data)
        self._fast = fast
        self._chosen_binaries = binaries
        self._sockets: Path | None = None

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self.password(), safe='')}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = DATABASE) -> str:
        """Runs SQL as the owner over the private socket, each statement on its own; returns what psql printed."""
        command = [str(self._binaries().psql), "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database]
        command += ["-h", str(self._sockets), "-p", str(self.port)]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise StoreFailed(f"postgres refused a statement: {done.stderr.strip()}")
        return done.stdout.strip()

    def start(self) -> None:
        new_password = not self._password_file.exists()
        existed = (self.folder / "PG_VERSION").exists()
        super().start()
        if new_password and existed:  # somebody removed the secrets folder but kept the data
            self.execute(f"ALTER ROLE {USER} PASSWORD '{self.password()}'")

    def stop(self) -> None:
        super().stop()
        if self._sockets is not None:  # the supervisor removes it, unless it never came to run
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def _prepare(self) -> None:
        version_file = self.folder / "PG_VERSION"
        if not version_file.exists():
            self._initialise()
            return
        theirs, ours = version_file.read_text().strip(), self._major_version()
        if theirs != ours:
            raise StoreFailed(
                f"{self.folder} was made by Postgres {theirs} and cannot be opened by Postgres {ours} "
                f"(from {self._binaries().source}). Dump it with Postgres {theirs} and restore it, "
                "move the folder away to start empty, or set DATABASE_URL to a server of yours"
            )
        self._disarm_pid_file()

    def _initialise(self) -> None:
        """initdb into a folder beside, then rename: a first start that was cut off leaves nothing half-made."""
        draft = self.folder.with_name(f"{self.name}.init")
        shutil.rmtree(draft, ignore_errors=True)
        password_file = self.folder.with_name(f"{self.name}.pwfile")
        write_whole(password_file, self.password())
        try:
            self._run(
                [
                    str(self._binaries().initdb),
                    *("-D", str(draft), "-U", USER, f"--pwfile={password_file}"),
                    *("--auth-local=trust", "--auth-host=scram-sha-256"),  # the socket's folder is 0700
                    # The same order and upper/lower case on every machine, whatever its locales.
                    *("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    *(["--no-sync"] if self._fast else []),
                ]
            )
            single_user = [str(self._binaries().postgres), "--single", "-D", str(draft), "postgres"]
            self._run(single_user, stdin=f"CREATE DATABASE {DATABASE} STRATEGY FILE_COPY\n")
        finally:
            password_file.unlink()
        draft.rename(self.folder)

    def _run(self, command: list[str], stdin: str = "") -> None:
        done = subprocess.run(
            as_ordinary_user(command),
            input=stdin,
            env=self._environment(),
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise StoreFailed(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr).strip()}")

    def _command(self) -> list[str]:
        if self._sockets is None or not self._sockets.exists():
            self._sockets = _socket_folder(self.port)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "jit": "off",  # compiling our short statements costs more than running them
            "logging_collector": "off",
            "log_checkpoints": "off",
            **(FAST if self._fast else {}),
        }
        command = [str(self._binaries().postgres), "-D", str(self.folder)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return as_ordinary_user(command)

    def _is_ready(self) -> bool:
        """By postmaster.pid. One left by an earlier server may say "ready" too, but names another socket folder."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[4] == str(self._sockets) and lines[7].strip() == "ready"

    def server_pid(self) -> int | None:
        lines = self._pid_file_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _stop_left_behind(self) -> None:
        lines = self._pid_file_lines()
        super()._stop_left_behind()
        if len(lines) >= 5 and Path(lines[4]).name.startswith(SOCKET_FOLDER_PREFIX):
            shutil.rmtree(lines[4], ignore_errors=True)

    def _disarm_pid_file(self) -> None:
        """Names a dead pid in a stale postmaster.pid whose pid lives on as a zombie or as another program.

        Postgres would refuse to start because of it. The file stays: by its other lines Postgres checks that no
        backend still uses the shared memory.
        """
        lines = self._pid_file_lines()
        pid = self.server_pid()
        if pid is None or not psutil.pid_exists(pid):
            return
        dead = next(number for number in range(2**22 - 1, 0, -1) if not psutil.pid_exists(number))
        write_whole(self.folder / "postmaster.pid", "\n".join([str(dead), *lines[1:], ""]))

    def _environment(self) -> Mapping[str, str]:
        # PGDATA, PGHOST, PGPORT, PGOPTIONS … of the user's own Postgres would redirect ours.
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def _folder_to_remove(self) -> Path | None:
        return self._sockets

    def _binaries(self) -> PostgresBinaries:
        if self._chosen_binaries is None:
            self._chosen_binaries = find_postgres()
        return self._chosen_binaries

    def _major_version(self) -> str:
        command = [str(self._binaries().postgres), "--version"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        found = re.search(r"(\d+)\.", text)
        return found.group(1) if found else text.strip()


def _socket_folder(port: int) -> Path:
    """A fresh private folder with a short name: the data folder's own path may be longer than a socket's may be."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the folder made in it is ours alone (0700)
        if len(os.fsencode(f"{base}/{SOCKET_FOLDER_PREFIX}12345678/.s.PGSQL.{port}")) <= SOCKET_PATH_LIMIT:
            return Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER_PREFIX, dir=base))
    raise StoreFailed("no temporary folder with a path short enough for a Unix socket")
