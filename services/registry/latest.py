"""The document that was committed last, and a way to wait for the next one. Part of every store."""

import asyncio

from services.registry.document import Document


class Latest:
    """Replaced on one event loop, read from anywhere."""

    def __init__(self, document: Document) -> None:
        self._document, self._replaced = document, asyncio.Event()

    @property
    def document(self) -> Document:
        return self._document

    def replace(self, document: Document) -> None:
        replaced, self._replaced = self._replaced, asyncio.Event()
        self._document = document
        replaced.set()

    async def newer_than(self, seq: int) -> Document:
        """See RegistryStore. Between looking and waiting nothing else can run, so nothing is missed."""
        while self._document.seq <= seq:
            await self._replaced.wait()
        return self._document
