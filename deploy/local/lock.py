"""One launcher per data folder. The lock is the kernel's (flock): it goes with its last holder, however that ends."""

import fcntl
import os
import time
from pathlib import Path

from deploy.local.errors import AlreadyRunning
from deploy.local.files import private_folder
from deploy.local.pids import is_alive

# A launcher that was killed leaves servers that are still shutting down; they hold the lock until they are done.
WAIT_FOR_THE_DYING_S = 15.0


class FolderLock:
    """Held from `acquire` to `release`, and by every process that was started with `descriptor` passed on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def acquire(self) -> None:
        """Raises AlreadyRunning at once when a living launcher holds it; waits for the remains of a dead one."""
        private_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + WAIT_FOR_THE_DYING_S
        while not _try_lock(descriptor):
            holder = _pid(self.path)
            alive = holder is not None and is_alive(holder)
            if alive or time.monotonic() > deadline:
                os.close(descriptor)
                who = f"pid {holder}" if alive else "what an earlier launcher left behind"
                raise AlreadyRunning(
                    f"{self.path.parent.parent} is already in use by {who}: stop that first (`bureau down`), "
                    "or choose another BUREAU_DATA (and BUREAU_PORT) for a second one"
                )
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self.descriptor = descriptor

    def release(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def holder(path: Path) -> int | None:
    """Pid of the launcher that holds the lock at `path`; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _try_lock(descriptor) else _pid(path)
    finally:
        os.close(descriptor)  # which also gives the lock back


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(path: Path) -> int | None:
    text = path.read_text().strip()
    return int(text) if text.isdigit() else None
