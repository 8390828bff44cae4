"""Small files that must be whole or absent, and private when they hold a secret."""

import os
from collections import deque
from pathlib import Path


def private_folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Written beside and renamed, so that a reader sees the old text or the new one. Durable on return."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)  # the umask may have taken bits, an older draft may have had more
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)


def last_lines(path: Path, count: int = 20, since: int = 0) -> list[str]:
    """The end of a log from byte `since` on; reads at most the last 64 KB."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since if since <= size else 0, size - 65536))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return list(deque(text.splitlines(), maxlen=count))


def read_variables(path: Path) -> dict[str, str]:
    """NAME=value lines, as client.env and stores.env have them."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write_variables(path: Path, variables: dict[str, str], comment: str) -> None:
    write_whole(path, "".join([f"# {comment}\n", *(f"{name}={value}\n" for name, value in variables.items())]))
