"""Which processes a changed source file concerns, for `up --reload`."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from deploy.local.stack import Process

# What every process imports.
SHARED = ("contracts", "kit", "sdk")


async def changed_processes(root: Path, processes: Iterable[Process]) -> AsyncIterator[list[str]]:
    """Yields the names to restart, once per burst of changes."""
    from watchfiles import Change, awatch  # only --reload needs it

    rows = list(processes)
    folders = {root / name for name in SHARED} | {root / row.module.replace(".", "/") for row in rows}

    def is_source(_: Change, path: str) -> bool:
        return path.endswith((".py", ".sql"))

    async for changes in awatch(*(folder for folder in folders if folder.is_dir()), watch_filter=is_source):
        if names := concerned(root, rows, (Path(path) for _, path in changes)):
            yield names


def concerned(root: Path, rows: Iterable[Process], paths: Iterable[Path]) -> list[str]:
    """Everybody for a shared file, else the processes of the service the file belongs to."""
    places = [path.relative_to(root).parts for path in paths if path.is_relative_to(root)]
    shared = any(parts[0] in SHARED for parts in places)
    packages = {".".join(parts[: index + 1]) for parts in places for index in range(len(parts))}
    return [row.name for row in rows if shared or row.module in packages]
