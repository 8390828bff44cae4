"""The registry's store in memory: a real fake for tests. It forgets everything when it ends."""

from kit.errors import Unavailable
from kit.health import Degraded
from services.registry.document import Change, Document
from services.registry.store import NOT_WRITABLE


class MemoryStore:
    def __init__(self, document: Document | None = None) -> None:
        self._document = document or Document()
        self.broken = False
        """True makes every write fail, as on a full disk."""

    @property
    def document(self) -> Document:
        return self._document

    async def commit(self, change: Change) -> Document:
        changed = change(self._document)
        if self.broken and changed is not self._document:
            raise Unavailable("the registry cannot be written", code=NOT_WRITABLE)
        self._document = changed
        return changed

    async def check(self) -> str:
        if self.broken:
            raise Degraded("the last change could not be written")
        return ""
