"""Valkey as an embedded store: on the loopback address, with a password, every write logged in `data/valkey`."""

import signal
import socket
from pathlib import Path

from deploy.local.binaries import find_valkey
from deploy.local.files import private_folder, write_whole
from deploy.local.store import EmbeddedStore

CONFIG = """\
# Written at every start.
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir .
pidfile {pid_file}
daemonize no
databases 64
# Every acknowledged write is in the append-only file, and `always` means on the disk.
appendonly yes
appendfsync {fsync}
save ""
# A job queue that forgets under memory pressure would break its promises: refuse writes instead.
maxmemory-policy noeviction
"""
PID_FILE = "valkey.pid"


class EmbeddedValkey(EmbeddedStore):
    """`fast` leaves the moment of the sync to the kernel, for tests on throw-away folders."""

    name = "valkey"
    stop_signals = ((signal.SIGTERM, 8.0), (signal.SIGKILL, 1.0))

    def __init__(self, data: Path, *, fast: bool = False, program: Path | None = None) -> None:
        super().__init__(data)
        self._fast = fast
        self._program = program

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        # token_urlsafe needs no quoting, neither here nor in the configuration.
        return f"redis://:{self.password()}@127.0.0.1:{self.port}/{database}"

    def ask(self, *words: str) -> str:
        """First line of the answer to one command (`+OK`, `-LOADING …`, `:3`). Raises OSError when nobody answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(_command("AUTH", self.password()) + _command(*words))
            with connection.makefile("rb") as answers:
                login = answers.readline().decode().rstrip()
                return answers.readline().decode().rstrip() if login == "+OK" else login

    def _prepare(self) -> None:
        private_folder(self.folder)
        if self._program is None:
            self._program = find_valkey()

    def _command(self) -> list[str]:
        # Relative paths throughout: the server runs in its folder, whose own path may hold anything.
        fsync = "no" if self._fast else "always"
        text = CONFIG.format(port=self.port, password=self.password(), pid_file=PID_FILE, fsync=fsync)
        write_whole(self.folder / "valkey.conf", text)
        return [str(self._program), "valkey.conf"]

    def _is_ready(self) -> bool:
        """Only PONG counts: while the append-only file is read back the answer is -LOADING."""
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def server_pid(self) -> int | None:
        try:
            text = (self.folder / PID_FILE).read_text().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None


def _command(*words: str) -> bytes:
    """RESP: an array of byte strings."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
