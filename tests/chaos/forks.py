"""Services for tests that kill them: forks of a process that has imported everything already.

The same program as `python -m kit.serve <package>`, ready in a tenth of the time.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kit import serve

STOP_SECONDS = 20

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [f"services.{name}.{room}" for name in ("registry", "sessions") for room in ("app", "settings")] + [__name__]
)


@contextmanager
def forked(package: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Its process id; killed at the end."""
    process = _forks.Process(target=_serve, args=(package, environment), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        process.kill()
        process.join(STOP_SECONDS)
        process.close()


def _serve(package: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    sys.argv = ["kit.serve", package]
    serve.main()
