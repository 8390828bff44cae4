"""The registry's file on disk: one JSON document, written whole or not at all. Synchronous; knows no event loop.

Beside `registry.json` there are `.backup`, `.backup.1` … (what it was before, newest first), `.lock`, during a write
`.new`, and `.damaged-<time>` for every file that could not be read and was set aside.
"""

import itertools
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from kit.logs import get_logger
from services.registry.document import Document
from services.registry.file_format import Damaged, RegistryFileError, Renderer, parse

log = get_logger(__name__)

BACKUPS = 3
"""Versions kept beside the current one."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Loaded:
    document: Document
    trouble: str = ""
    """What an operator must know: what was damaged, and what was loaded in its place. Names files, quotes nothing."""


class JsonFile:
    """One registry file. `open` first; only one process at a time can."""

    def __init__(
        self, path: Path, *, sync: Callable[[int], None] = os.fsync, now: Callable[[], datetime] = _now
    ) -> None:
        """`sync` makes a file or folder durable, `now` names what is set aside; tests let them fail."""
        self._path, self._sync, self._now = path, sync, now
        self._new = path.with_name(path.name + ".new")
        self._backups = [path.with_name(f"{path.name}.backup{f'.{n}' if n else ''}") for n in range(BACKUPS)]
        self._lock = FileLock(path.with_name(path.name + ".lock"), blocking=False, thread_local=False)
        self._writing = threading.Lock()
        self._renderer = Renderer()

    def open(self) -> Loaded:
        """Takes the lock and reads the newest good version.

        Raises RegistryFileError when another process has the file, when a newer Bureau wrote it, or when it cannot
        be read at all: it is then left as it is.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise RegistryFileError(f"{self._path} is in use by another process: one registry, one file") from None
        except OSError as error:
            raise RegistryFileError(f"{self._path} cannot be used: {error}") from error
        try:
            self._new.unlink(missing_ok=True)
            return self._load()
        except OSError as error:
            self._lock.release()
            raise RegistryFileError(f"{self._path} cannot be read: {error}") from error
        except RegistryFileError:
            self._lock.release()
            raise

    def close(self) -> None:
        """Waits for a write that is under way, then lets another process in."""
        with self._writing:
            self._lock.release()

    def write(self, document: Document, now: datetime) -> None:
        """Returns when the document is on disk, also after a power cut. Raises OSError; nothing has changed then."""
        with self._writing:
            if not self._lock.is_locked:
                raise OSError("the registry file was closed")
            try:
                self._write_new(self._renderer.render(document, now))
                self._keep_backup()
                os.replace(self._new, self._path)
            except OSError:
                with suppress(OSError):
                    self._new.unlink(missing_ok=True)
                raise
            try:
                self._sync_folder()
            except OSError:
                self._take_back()
                raise

    def _write_new(self, content: list[bytes]) -> None:
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(content)
            file.flush()
            self._sync(file.fileno())

    def _keep_backup(self) -> None:
        """A second name for the old version, so that there is no moment without a good file, and nothing to copy."""
        if not self._path.exists():
            return
        for older, newer in reversed(list(zip(self._backups[1:], self._backups, strict=False))):
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        try:
            os.link(self._path, self._backups[0])
        except OSError:  # a file system without hard links
            shutil.copyfile(self._path, self._backups[0])

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _take_back(self) -> None:
        """Undoes the rename of a write that is not known to be durable: its callers are told that it failed."""
        with suppress(OSError):
            if self._backups[0].exists():
                shutil.copyfile(self._backups[0], self._new)
                os.replace(self._new, self._path)
            else:
                self._path.unlink()

    def _load(self) -> Loaded:
        damaged = []
        for path in (self._path, *self._backups):
            try:
                document = parse(path.read_bytes())
            except FileNotFoundError:
                continue
            except Damaged as damage:
                damaged.append(self._set_aside(path))
                log.warning("registry_file_damaged", file=path.name, kept_as=damaged[-1], reason=str(damage))
                continue
            if path == self._path:
                return Loaded(document)
            why = f"damaged and kept: {', '.join(damaged)}" if damaged else f"{self._path.name} was missing"
            return Loaded(
                document.after_a_loss(),
                f"{why}; loaded {path.name}, the newest good version; changes after it are lost",
            )
        if damaged := damaged or self._set_aside_before():
            return Loaded(
                Document().after_a_loss(),
                f"STARTED EMPTY, no good version was found; damaged and kept: {', '.join(damaged)}",
            )
        return Loaded(Document())

    def _set_aside(self, path: Path) -> str:
        aside = first = self._path.with_name(f"{path.name}.damaged-{self._now():%Y%m%dT%H%M%S.%fZ}")
        for number in itertools.count(1):
            if not aside.exists():
                break
            aside = first.with_name(f"{first.name}-{number}")  # the clock was put back
        os.rename(path, aside)
        return aside.name

    def _set_aside_before(self) -> list[str]:
        """By an earlier start that found nothing good either, and after which nothing was written."""
        return sorted(path.name for path in self._path.parent.glob(f"{self._path.name}*.damaged-*"))
