"""ADK's memory service on Bureau, with ADK's own Runner and tool, over a memory service in process."""

from collections.abc import AsyncIterator

import httpx
import pytest
from google.adk.agents import BaseAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.cli.service_registry import get_service_registry
from google.adk.events import Event
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from bureau.adapters.adk import BureauMemoryService, register
from bureau.client import Bureau
from kit.identity import PRINCIPAL_HEADER, TENANT_WIDE, Principal, PrincipalSigner, generate_keypair
from kit.settings import CommonSettings
from services.memory.app import Adapters, create_app
from services.memory.embedder_hashed import NAME
from services.memory.settings import Settings
from services.memory.store_memory import InMemoryStore
from tests.fakes import FixedClock

PRIVATE, PUBLIC = generate_keypair()


class Signed(httpx.ASGITransport):
    """What the gateway does: a key becomes a principal."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        operator = Principal("acme", "adk", scopes=frozenset({TENANT_WIDE}))
        request.headers[PRINCIPAL_HEADER] = PrincipalSigner(PRIVATE, "tests").sign(operator, "memory")
        return await super().handle_async_request(request)


@pytest.fixture
async def service() -> AsyncIterator[BureauMemoryService]:
    app = create_app(
        Settings(common=CommonSettings(identity_public_keys=PUBLIC)), Adapters(InMemoryStore(NAME), FixedClock())
    )
    async with app.router.lifespan_context(app), Bureau("http://bureau", "key", transport=Signed(app)) as bureau:
        yield BureauMemoryService(bureau)


def said(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


async def texts(service: BureauMemoryService, query: str, user: str = "ann", app: str = "shop") -> list[str]:
    found = await service.search_memory(app_name=app, user_id=user, query=query)
    return [(entry.content.parts or [types.Part()])[0].text or "" for entry in found.memories]


class Recalls(BaseAgent):
    """Answers with what ADK's context finds in memory."""

    async def _run_async_impl(self, ctx: InvocationContext) -> AsyncIterator[Event]:  # type: ignore[override]  # ADK's is an async generator too
        assert ctx.memory_service is not None
        query = ((ctx.user_content or said("")).parts or [types.Part()])[0].text or ""
        found = await ctx.memory_service.search_memory(
            app_name=ctx.session.app_name, user_id=ctx.session.user_id, query=query
        )
        known = "; ".join((entry.content.parts or [types.Part()])[0].text or "" for entry in found.memories)
        content = types.Content(role="model", parts=[types.Part(text=f"known: {known}")])
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=content)


async def test_what_one_session_said_is_known_in_the_next(service: BureauMemoryService) -> None:
    sessions = InMemorySessionService()
    runner = Runner(app_name="shop", agent=Recalls(name="recalls"), session_service=sessions, memory_service=service)

    async def ask(session_id: str, text: str) -> str:
        await sessions.create_session(app_name="shop", user_id="ann", session_id=session_id)
        events = [e async for e in runner.run_async(user_id="ann", session_id=session_id, new_message=said(text))]
        return ((events[-1].content or said("")).parts or [types.Part()])[0].text or ""

    assert await ask("one", "I like lobster") == "known: "
    session = await sessions.get_session(app_name="shop", user_id="ann", session_id="one")
    assert session is not None
    for _ in range(2):
        await service.add_session_to_memory(session)
    assert "I like lobster" in await ask("two", "lobster")
    assert [text for text in await texts(service, "lobster") if "lobster" in text] == ["I like lobster"]


async def test_memories_are_a_users_and_an_apps_own(service: BureauMemoryService) -> None:
    entry = MemoryEntry(content=said("likes tea"), custom_metadata={"topic": "drinks"})
    await service.add_memory(app_name="shop", user_id="ann", memories=[entry])
    assert await texts(service, "tea") == ["likes tea"]
    assert await texts(service, "tea", user="bob") == []
    assert await texts(service, "tea", app="other") == []
    assert await texts(service, "  ") == []
    (found,) = (await service.search_memory(app_name="shop", user_id="ann", query="tea")).memories
    assert found.id is not None
    assert found.custom_metadata["topic"] == "drinks"
    await service.delete_memory(app_name="shop", user_id="bob", memory_id=found.id)
    assert await texts(service, "tea") == ["likes tea"]
    await service.delete_memory(app_name="shop", user_id="ann", memory_id=found.id)
    assert await texts(service, "tea") == []
    with pytest.raises(ValueError, match="erase"):
        await service.delete_memory(app_name="shop", user_id="ann")


async def test_only_what_was_said_is_kept(service: BureauMemoryService) -> None:
    call = types.Part(function_call=types.FunctionCall(name="tea", args={}))
    thought = types.Part(text="tea thought", thought=True)
    events = [
        Event(author="shop", content=types.Content(role="model", parts=[call, thought])),
        Event(author="shop", partial=True, content=types.Content(role="model", parts=[types.Part(text="tea par")])),
        Event(author="user", content=said("tea please")),
    ]
    await service.add_events_to_memory(app_name="shop", user_id="ann", events=events, session_id="one")
    assert await texts(service, "tea") == ["tea please"]


def test_adk_knows_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_API_KEY", "bk_key")
    register()
    made = get_service_registry().create_memory_service("bureau://127.0.0.1:8080")
    assert isinstance(made, BureauMemoryService)
