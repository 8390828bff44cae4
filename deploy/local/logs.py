"""The processes' log files. A process writes straight into its file, so its last words survive the launcher and a
stopped terminal stops nobody; the launcher only reads along."""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.files import last_lines

MAX_BYTES = 50 * 1024 * 1024


class LogTail:
    """The lines added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return []
        if size < self._position:  # it was emptied (see `keep_small`)
            self._position, self._rest = 0, b""
        if size == self._position:
            return []
        with self.path.open("rb") as log:
            log.seek(self._position)
            data = log.read(size - self._position)
        self._position += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in whole]


def keep_small(path: Path) -> None:
    """Moves a large log's content to `<name>.1`. The writer appends, so it goes on at the start of the emptied file."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def show(paths: Mapping[str, Path], print_line: Callable[[str, str], None], *, lines: int, follow: bool) -> None:
    """The last lines of each log and, when following, every new one until interrupted."""
    tails = {name: LogTail(path) for name, path in paths.items()}
    for name, path in paths.items():
        for line in last_lines(path, lines):
            print_line(name, line)
    while follow:
        for name, tail in tails.items():
            for line in tail.new_lines():
                print_line(name, line)
        time.sleep(0.1)
