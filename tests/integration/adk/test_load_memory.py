"""ADK's own memory tools in ADK's own runner, over a memory service on a socket with its memories in Postgres."""

from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools.load_memory_tool import LoadMemoryResponse, load_memory_tool
from google.adk.tools.preload_memory_tool import preload_memory_tool
from google.genai import types

from bureau import Bureau
from bureau.adapters.adk import BureauMemoryService
from kit.identity import PRINCIPAL_HEADER, TENANT_WIDE, Principal, PrincipalSigner, generate_keypair
from kit.settings import CommonSettings
from services.memory.app import create_app
from services.memory.settings import Settings
from tests.servers import serving

PRIVATE_KEY, PUBLIC_KEY = generate_keypair()
ORCHESTRATOR = Principal("acme", "orchestrator", scopes=frozenset({TENANT_WIDE}))


class Signed(httpx.AsyncHTTPTransport):
    """Does what the gateway does for a request: says whose it is."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers[PRINCIPAL_HEADER] = PrincipalSigner(PRIVATE_KEY, "tests").sign(ORCHESTRATOR, "memory")
        return await super().handle_async_request(request)


class Asks(BaseLlm):
    """Asked by a person it looks in memory for what was said; shown the result it says what it was shown."""

    model: str = "asks"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = (llm_request.contents[-1].parts or [types.Part()])[-1]
        if last.function_response is None:
            assert "load_memory" in llm_request.tools_dict
            part = types.Part(function_call=types.FunctionCall(name="load_memory", args={"query": last.text}))
        else:
            found = (last.function_response.response or {})["result"]
            assert isinstance(found, LoadMemoryResponse)
            part = types.Part(text="; ".join(f"{entry.author}: {_text(entry.content)}" for entry in found.memories))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


class Reads(BaseLlm):
    """Says what it was shown before the question."""

    model: str = "reads"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        shown = [part.text or "" for content in llm_request.contents for part in content.parts or []]
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="\n".join(shown))]))


@pytest.fixture
async def memory(database_url: str) -> AsyncIterator[BureauMemoryService]:
    settings = Settings.model_validate(
        {
            "common": CommonSettings(identity_public_keys=PUBLIC_KEY),
            "database_url": database_url,
            "search_timeout_seconds": 20,
        }
    )
    async with (
        serving(create_app(settings)) as url,
        Bureau(url, "unused", transport=Signed()) as bureau,
    ):
        yield BureauMemoryService(bureau)


class Desk:
    """One user's conversations with an agent, each in a session of its own."""

    def __init__(self, agent: LlmAgent, memory: BureauMemoryService) -> None:
        self._sessions, self._memory = InMemorySessionService(), memory
        self._runner = Runner(app_name="desk", agent=agent, session_service=self._sessions, memory_service=memory)

    async def ask(self, user: str, session_id: str, text: str) -> str:
        """The answer; what was said is given to memory, as ADK's guide has it at a session's end."""
        await self._sessions.create_session(app_name="desk", user_id=user, session_id=session_id)
        message = types.Content(role="user", parts=[types.Part(text=text)])
        events = [
            event async for event in self._runner.run_async(user_id=user, session_id=session_id, new_message=message)
        ]
        session = await self._sessions.get_session(app_name="desk", user_id=user, session_id=session_id)
        assert session is not None
        await self._memory.add_session_to_memory(session)
        return _text(events[-1].content)


def _text(content: types.Content | None) -> str:
    return ((content or types.Content()).parts or [types.Part()])[0].text or ""


async def test_load_memory_gives_the_model_what_its_user_said_before(memory: BureauMemoryService) -> None:
    desk = Desk(LlmAgent(name="clerk", model=Asks(), tools=[load_memory_tool]), memory)
    assert await desk.ask("ann", "one", "My oxygen invoices go to accounting") == ""
    assert await desk.ask("bob", "two", "My oxygen invoice goes to the bin") == ""
    answer = await desk.ask("ann", "three", "where does an oxygen invoice go?")
    assert "user: My oxygen invoices go to accounting" in answer
    assert "bin" not in answer, "another user's is not hers"


async def test_preload_memory_shows_the_model_what_its_user_said_before(memory: BureauMemoryService) -> None:
    desk = Desk(LlmAgent(name="clerk", model=Reads(), tools=[preload_memory_tool]), memory)
    await desk.ask("ann", "one", "My oxygen invoices go to accounting")
    shown = await desk.ask("ann", "two", "where does an oxygen invoice go?")
    assert "<PAST_CONVERSATIONS>" in shown
    assert "user: My oxygen invoices go to accounting" in shown
    assert "accounting" not in await desk.ask("bob", "three", "where does an oxygen invoice go?")
