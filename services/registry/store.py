"""The port of the registry's store."""

from typing import Protocol

from services.registry.document import Change, Document

NOT_WRITABLE = "registry_not_writable"
"""Code of the Unavailable that a change gets which could not be written."""


class RegistryStore(Protocol):
    """Keeps one Document, durably.

    - What `commit` has answered survives a crash of the process and of the machine.
    - Changes happen one after the other: each sees everything that was committed before it, so none is lost.
    - All or nothing: a change that is refused or cannot be written leaves no trace, in memory or on disk.
    - `document` is what was committed last; reading it never waits, and never shows what is not yet durable.
    - Changes that arrive together may be written together; a refused one does not harm the others.
    """

    @property
    def document(self) -> Document:
        """What was committed last."""

    async def newer_than(self, seq: int) -> Document:
        """`document` as soon as more than `seq` changes were committed; at once when that is so already. Nothing is
        committed between looking and waiting without being noticed. Waits for ever: give it a timeout."""

    async def commit(self, change: Change) -> Document:
        """The document as this change left it. Raises what the change raises, or Unavailable (NOT_WRITABLE) when
        it cannot be written; it has then not happened."""

    async def check(self) -> str:
        """For `/health`: raises Degraded when data were repaired or lost, or the last write failed."""
