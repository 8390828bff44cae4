"""Agents made with Google's ADK, through the whole runtime: built from the record alone, again after a restart."""

from collections.abc import AsyncIterator

import pytest

from bureau_contracts.prompts import NewPromptVersion
from bureau_contracts.registry import AgentPatch
from bureau_contracts.runtime import ChatAnswer
from kit.identity import ADMIN, Principal, acting_as
from services.runtime.app import create_app
from services.runtime.settings import Settings
from tests.http import service_client
from tests.runtime_neighbours import COMMON, PRIVATE_KEY, World, world
from tests.unit.runtime import adk_agents_for_tests
from tests.unit.runtime.agents_for_tests import PREFIX, record

ADA = Principal("acme", "ada")
ROOT = Principal("acme", "root", scopes=frozenset({ADMIN}))
KEEPER = record("keeper", "parcels", factory_module=adk_agents_for_tests.MODULE)


@pytest.fixture
async def around() -> AsyncIterator[World]:
    adk_agents_for_tests.asked.clear()
    async with world() as made:
        await made.register(KEEPER)
        yield made


async def ask(around: World, message: str, session_id: str | None = None) -> ChatAnswer:
    """One message to a runtime that has just been started, and is stopped after it."""
    app = create_app(Settings(common=COMMON, factory_prefixes=PREFIX), around.neighbours)
    async with app.router.lifespan_context(app), service_client(app, ADA, "runtime", PRIVATE_KEY) as client:
        body = {"message": message, "agent": "keeper"} | ({"session_id": session_id} if session_id else {})
        response = await client.post("/agent/chat", json=body)
        assert response.status_code == 200, response.text
        return ChatAnswer.model_validate_json(response.content)


async def test_after_a_restart_it_is_made_again_from_its_record_and_remembers_the_conversation(around: World) -> None:
    first = await ask(around, "call get_parcel")
    assert (first.status, first.agents, first.model) == ("completed", ["keeper"], "scripted-1")
    assert [(each.name, each.risk, each.status) for each in first.tools] == [("get_parcel", "read", "completed")]
    second = await ask(around, "hello again", first.session_id)
    assert (second.status, second.reply) == ("completed", "you said: hello again")
    shown = [(each.parts or [])[0].text for each in adk_agents_for_tests.asked[-1].contents]
    assert shown == ["call get_parcel", first.reply, "hello again"]


async def test_a_prompt_by_reference_is_what_it_is_told(around: World) -> None:
    with acting_as(ROOT):
        prompt = NewPromptVersion(text="You serve {{ user }}.", variables=["user"])
        await around.catalogue.prompts.add("keeper", prompt)
        await around.catalogue.update("keeper", AgentPatch(prompt="keeper"))
    assert (await ask(around, "hello")).status == "completed"
    assert "You serve ada." in str(adk_agents_for_tests.asked[-1].config.system_instruction)
    with acting_as(ROOT):
        await around.catalogue.prompts.delete("keeper")
    broken = await ask(around, "hello")
    assert broken.status == "error"
    assert "prompt_not_found" in broken.reply
