"""A Valkey of one test's own that can be killed, frozen, and started again on the same port."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.binaries import find_valkey
from deploy.local.valkey import EmbeddedValkey
from tests.waiting import eventually


class FaultyValkey:
    def __init__(self, folder: Path, *, fast: bool = True) -> None:
        self.server = EmbeddedValkey(folder, fast=fast)
        self._again: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.server.url

    def kill(self) -> None:
        """As if the machine went: whatever it had not written is lost."""
        self._signal(signal.SIGKILL)
        if self._again is not None:
            self._again.wait(10)

    def freeze(self) -> None:
        """It keeps its connections, takes new ones, and answers nobody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def flush(self) -> None:
        assert self.server.ask("FLUSHALL") == "+OK"

    async def start_again(self) -> None:
        """With what it had written."""
        self._start()

        def answers() -> bool:
            if self._again is not None and self._again.poll() is not None:
                self._start()  # somebody who knocked at its port was given that port, for a moment
            return self.answers()

        await eventually(answers)

    def _start(self) -> None:
        command = [str(find_valkey()), "valkey.conf"]
        self._again = subprocess.Popen(command, cwd=self.server.folder, stdout=subprocess.DEVNULL)

    def answers(self) -> bool:
        try:
            return self.server.ask("PING") == "+PONG"
        except OSError:
            return False

    def end(self) -> None:
        """Also when a test failed while it was frozen."""
        with suppress(ProcessLookupError):
            self.thaw()
        if self._again is not None and self._again.poll() is None:
            self._again.terminate()
            self._again.wait(10)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.server.server_pid()
        assert pid is not None
        os.kill(pid, number)


@contextmanager
def faulty_valkey(folder: Path, *, fast: bool = True) -> Iterator[FaultyValkey]:
    """`fast` leaves the moment of the sync to the kernel."""
    own = FaultyValkey(folder, fast=fast)
    with own.server:
        try:
            yield own
        finally:
            own.end()
