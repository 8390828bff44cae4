"""The registry's store in memory: a real fake for tests. It forgets everything when it ends."""

from kit.errors import Unavailable
from kit.health import Degraded
from services.registry.document import Change, Document
from services.registry.latest import Latest
from services.registry.store import NOT_WRITABLE


class MemoryStore:
    def __init__(self, document: Document | None = None) -> None:
        self._latest = Latest(document or Document())
        self.broken = False
        """True makes every write fail, as on a full disk."""

    @property
    def document(self) -> Document:
        return self._latest.document

    async def newer_than(self, seq: int) -> Document:
        return await self._latest.newer_than(seq)

    async def commit(self, change: Change) -> Document:
        changed = change(self.document)
        if self.broken and changed is not self.document:
            raise Unavailable("the registry cannot be written", code=NOT_WRITABLE)
        self._latest.replace(changed)
        return changed

    async def check(self) -> str:
        if self.broken:
            raise Degraded("the last change could not be written")
        return ""
