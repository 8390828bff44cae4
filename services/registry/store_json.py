"""The registry's store on one JSON file: one writer, and changes that arrive during a write share the next one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit.clock import Clock
from kit.errors import Unavailable
from kit.health import Degraded
from kit.logs import get_logger
from kit.tasks import background
from services.registry.document import Change, Document
from services.registry.json_file import JsonFile, Loaded
from services.registry.latest import Latest
from services.registry.store import NOT_WRITABLE

log = get_logger(__name__)


@dataclass(frozen=True)
class _Waiting:
    change: Change
    answer: "asyncio.Future[Document]"


_Outcome = tuple[_Waiting, Document | Exception]


@asynccontextmanager
async def open_json_store(file: JsonFile, clock: Clock) -> AsyncIterator["JsonStore"]:
    """Raises RegistryFileError when the file cannot be used."""
    loaded = await asyncio.to_thread(file.open)
    if loaded.trouble:
        log.error("registry_not_whole", trouble=loaded.trouble)
    store = JsonStore(file, loaded, clock)
    try:
        async with background(store.write_until_closed()):
            try:
                yield store
            finally:
                await store.close()
    finally:
        await asyncio.to_thread(file.close)


class JsonStore:
    """Use `open_json_store`: without its writer no change is ever written."""

    def __init__(self, file: JsonFile, loaded: Loaded, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self._latest = Latest(loaded.document)
        self._trouble = loaded.trouble
        self._write_failure = ""
        self._waiting: list[_Waiting] = []
        self._arrived, self._ended = asyncio.Event(), asyncio.Event()
        self._closing = False

    @property
    def document(self) -> Document:
        return self._latest.document

    async def newer_than(self, seq: int) -> Document:
        return await self._latest.newer_than(seq)

    async def commit(self, change: Change) -> Document:
        if self._closing:
            raise Unavailable("the registry is shutting down")
        waiting = _Waiting(change, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def check(self) -> str:
        trouble = "; ".join(filter(None, (self._trouble, self._write_failure)))
        if trouble:
            raise Degraded(trouble)
        return ""

    async def close(self) -> None:
        """Takes no more changes; returns when those that wait are written."""
        self._closing = True
        self._arrived.set()
        await self._ended.wait()

    async def write_until_closed(self) -> None:
        """The one writer. While it writes, further changes gather."""
        try:
            while self._waiting or not self._closing:
                await self._arrived.wait()
                self._arrived.clear()
                batch, self._waiting = self._waiting, []
                await self._write_together(batch)
        finally:
            self._ended.set()

    async def _write_together(self, batch: list[_Waiting]) -> None:
        # In a thread the changes too: one may be of ten thousand agents, and readers never wait.
        outcomes, saved = await asyncio.to_thread(self._apply_and_write, batch)
        if isinstance(saved, Document):
            self._latest.replace(saved)
            self._write_failure = ""
        elif not saved:
            self._write_failure = "the last change could not be written"
        for waiting, outcome in outcomes:
            # A refusal counts on changes before it in the batch, so it holds only when those were written.
            _tell(waiting, outcome if saved else Unavailable("the registry cannot be written", code=NOT_WRITABLE))

    def _apply_and_write(self, batch: list[_Waiting]) -> tuple[list[_Outcome], Document | bool]:
        """What came of each change; and the document that is now durable, or whether there was nothing to write."""
        document, outcomes = self.document, list[_Outcome]()
        for waiting in batch:
            if waiting.answer.cancelled():
                continue
            try:
                document = waiting.change(document)
                outcomes.append((waiting, document))
            except Exception as refusal:  # noqa: BLE001 - whatever a change raises belongs to its caller, who gets it
                outcomes.append((waiting, refusal))
        if document is self.document:
            return outcomes, True
        try:
            self._file.write(document, self._clock.now())
        except (OSError, ValueError):  # ValueError: a value that JSON cannot hold
            log.exception("registry_not_written")
            return outcomes, False
        return outcomes, document


def _tell(waiting: _Waiting, outcome: Document | Exception) -> None:
    if waiting.answer.done():
        return
    if isinstance(outcome, Exception):
        waiting.answer.set_exception(outcome)
    else:
        waiting.answer.set_result(outcome)
