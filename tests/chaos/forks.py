"""Services for tests that kill them: forks of a process that has imported everything already.

The same program as `python -m kit.serve <package>`, or `python -m <worker>`, ready in a tenth of the time.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from kit import serve

STOP_SECONDS = 20
WORKERS = ("services.jobs.worker",)
"""Programs of their own."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [f"services.{name}.{room}" for name in ("registry", "sessions", "jobs") for room in ("app", "settings")]
    + [*WORKERS, __name__]
)


@contextmanager
def forked(package: str, environment: Mapping[str, str], log: Path | None = None) -> Iterator[int]:
    """Its process id; killed at the end. What it prints is appended to `log`."""
    process = _forks.Process(target=_run, args=(package, environment, log), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        process.kill()
        process.join(STOP_SECONDS)
        process.close()


def _run(package: str, environment: Mapping[str, str], log: Path | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    zoneinfo.reset_tzpath()  # it was read from the environment at import
    if log is not None:
        with log.open("ab") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
    if package in WORKERS:
        sys.argv = [package]
        importlib.import_module(package).main()
    else:
        sys.argv = ["kit.serve", package]
        serve.main()


def _end_with_parent() -> None:
    """A test run that is killed leaves no process behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
