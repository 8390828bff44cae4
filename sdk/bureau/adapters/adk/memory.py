"""ADK's memory service on Bureau: `load_memory` and `PreloadMemoryTool` find what Bureau's memory knows of the user."""

from collections.abc import Mapping, Sequence

from google.adk.events import Event
from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai import types

from bureau.client import Bureau
from bureau.errors import NotFound
from bureau_contracts.memory import Memory, MemoryKind, MemorySearch, NewMemory, Origin

FOUND = 10
AT_ONCE = 100
MAX_TEXT = 100_000


class BureauMemoryService(BaseMemoryService):
    """Memories of one ADK app are Bureau's memories with ``metadata.app`` = its name, of the user that ADK names.

    The client's key must belong to that user, or be tenant-wide. Every failure is a `bureau.errors.BureauError`.
    """

    def __init__(self, bureau: Bureau, *, k: int = FOUND) -> None:
        self._bureau, self._k = bureau, k

    async def add_session_to_memory(self, session: Session) -> None:
        """Every event's text. May be called again as a session grows: the same text is stored once."""
        await self.add_events_to_memory(
            app_name=session.app_name, user_id=session.user_id, events=session.events, session_id=session.id
        )

    async def add_events_to_memory(
        self, *, app_name: str, user_id: str, events: Sequence[Event], session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        new = []
        for event in events:
            text = _text(event.content)
            if text and not event.partial:
                metadata = {**(custom_metadata or {}), "app": app_name, "author": event.author}
                if session_id is not None:
                    metadata["adk_session"] = session_id
                origin = Origin.USER if event.author == "user" else Origin.AGENT
                new.append(_new(text, user_id, MemoryKind.EPISODE, origin, metadata))
        await self._store(new)

    async def add_memory(
        self, *, app_name: str, user_id: str, memories: Sequence[MemoryEntry],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        new = []
        for entry in memories:
            if text := _text(entry.content):
                author = entry.author or "user"
                metadata = {**(custom_metadata or {}), **entry.custom_metadata, "app": app_name, "author": author}
                origin = Origin.USER if author == "user" else Origin.AGENT
                new.append(_new(text, user_id, MemoryKind.FACT, origin, metadata))
        await self._store(new)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """Of this app, or of no app: what was told to Bureau elsewhere is known here, too."""
        if not query.strip():
            return SearchMemoryResponse()
        apps = {"or": [{"eq": ["app", app_name]}, {"not": {"exists": "app"}}]}
        asked = MemorySearch.model_validate({"q": query[:20_000], "k": self._k, "user_id": user_id, "filter": apps})
        found = await self._bureau.memory.find(asked)
        return SearchMemoryResponse(memories=[_entry(hit.memory) for hit in found.results])

    async def delete_memory(self, *, app_name: str, user_id: str, memory_id: str | None = None) -> None:
        """One memory. Without an ID nothing: a person is erased by Bureau's own call, which says so."""
        if memory_id is None:
            raise ValueError("memory_id is needed: `Bureau.memory.erase` erases everything that is known of a user")
        try:
            memory = await self._bureau.memory.get(memory_id)
        except NotFound:
            return
        if memory.user_id == user_id and memory.metadata.get("app") in (app_name, None):
            await self._bureau.memory.delete(memory_id)

    async def _store(self, new: Sequence[NewMemory]) -> None:
        for begin in range(0, len(new), AT_ONCE):
            await self._bureau.memory.store_all(new[begin : begin + AT_ONCE])


def _new(text: str, user_id: str, kind: MemoryKind, origin: Origin, metadata: Mapping[str, object]) -> NewMemory:
    return NewMemory(text=text[:MAX_TEXT], user_id=user_id, kind=kind, origin=origin, metadata=dict(metadata))


def _text(content: types.Content | None) -> str:
    """What was said: neither calls of tools nor their results, nor a model's thoughts."""
    parts = content.parts if content and content.parts else []
    return "\n".join(part.text for part in parts if part.text and not part.thought).replace("\x00", "").strip()


def _entry(memory: Memory) -> MemoryEntry:
    author = str(memory.metadata.get("author") or memory.origin)
    content = types.Content(role="user" if author == "user" else "model", parts=[types.Part(text=memory.text)])
    return MemoryEntry(
        content=content, custom_metadata=dict(memory.metadata), id=memory.memory_id, author=author,
        timestamp=memory.created_at.isoformat(),
    )  # fmt: skip
