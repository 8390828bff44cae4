"""Agents made with Google's ADK: answers, traces, and the policy that holds inside of ADK."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from bureau_contracts.registry import AgentRecord, AutonomyLevel, RegisterAgent
from bureau_contracts.risk import Risk
from bureau_contracts.runtime import TurnStatus
from bureau_contracts.sessions import Message, Role
from kit.factories import FactoryResolver
from services.runtime.adk_agent import AdkRunner
from services.runtime.agents import AgentBroken, Agents, AgentSettings
from services.runtime.loop import LoopLimits
from services.runtime.models.catalogue import Models
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import Limits
from tests.unit.runtime import adk_agents_for_tests
from tests.unit.runtime.adk_agents_for_tests import MODULE

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
async def agents() -> AsyncIterator[Agents]:
    adk_agents_for_tests.asked.clear()
    adk_agents_for_tests.ran.clear()
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))) as client:
        limits = LoopLimits(3, 10, Limits(5, 1000))
        yield Agents(FactoryResolver(["tests.unit.runtime."]), Models({}, "offline"), client, AgentSettings(5, limits))


def known(factory: str, **more: object) -> AgentRecord:
    agent = RegisterAgent.model_validate({"name": "adk", "factory_module": MODULE, "factory_function": factory, **more})
    return AgentRecord(**agent.model_dump(exclude_unset=True), revision=1, registered_at=NOW, updated_at=NOW)


def work(message: str, level: AutonomyLevel = AutonomyLevel.L2) -> Work:
    return Work(message, [], [], level, "acme", "ada", "sess-1", "turn-1")


async def ask(agents: Agents, given: Work, record: AgentRecord | None = None) -> Outcome:
    return await (await agents.runner(record or known("parcels"))).answer(given)


async def test_an_adk_agent_answers_and_its_tokens_are_counted(agents: Agents) -> None:
    outcome = await ask(agents, work("hello"))
    assert (outcome.status, outcome.reply, outcome.model) == (TurnStatus.COMPLETED, "you said: hello", "scripted-1")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.model_calls) == (10, 3, 1)
    assert outcome.cost is None, "what ADK's model costs is not known"
    assert [(each.role, each.content, each.agent) for each in outcome.messages] == [
        (Role.ASSISTANT, "you said: hello", "adk")
    ]


async def test_its_tool_calls_are_traced_and_become_messages(agents: Agents) -> None:
    outcome = await ask(agents, work("call get_parcel"))
    trace = outcome.tools[0]
    assert (trace.name, trace.arguments, trace.risk, trace.status) == (
        "get_parcel", {"id": "P-7"}, Risk.READ, "completed",
    )  # fmt: skip
    assert trace.result == {"id": "P-7", "tenant": "acme"}
    call, result, reply = outcome.messages
    assert call.tool_calls[0].call_id == result.tool_results[0].call_id
    assert reply.content == outcome.reply
    assert adk_agents_for_tests.ran == [("get_parcel", "ada")], "the tool acts for the speaker"
    assert (outcome.usage.model_calls, outcome.usage.tool_calls) == (2, 1)


@pytest.mark.parametrize(
    ("tool", "level", "status", "runs"),
    [
        ("get_parcel", AutonomyLevel.L0, "refused", False),
        ("get_parcel", AutonomyLevel.L1, "completed", True),
        ("return_parcel", AutonomyLevel.L1, "refused", False),
        ("return_parcel", AutonomyLevel.L2, "completed", True),
    ],
)
async def test_a_call_above_the_autonomy_level_does_not_run_inside_of_adk_either(
    agents: Agents, tool: str, level: AutonomyLevel, status: str, runs: bool
) -> None:
    outcome = await ask(agents, work(f"call {tool}", level))
    assert [each.status for each in outcome.tools] == [status]
    assert [name for name, _ in adk_agents_for_tests.ran] == [tool] * runs
    assert outcome.status is TurnStatus.COMPLETED
    if not runs:
        assert "not allowed at autonomy level" in (outcome.tools[0].error or "")
        assert "not allowed at autonomy level" in outcome.reply, "the model is told"


async def test_a_tool_that_the_record_does_not_allow_is_refused_and_not_listed(agents: Agents) -> None:
    record = known("parcels", tools=["get_parcel"])
    outcome = await ask(agents, work("call return_parcel"), record)
    assert [each.status for each in outcome.tools] == ["refused"]
    assert adk_agents_for_tests.ran == []
    assert [each.spec.name for each in (await agents.runner(record)).tools] == ["get_parcel"]


async def test_its_tools_are_listed_with_risk_and_schema(agents: Agents) -> None:
    tools = (await agents.runner(known("parcels"))).tools
    assert [(each.spec.name, each.spec.risk) for each in tools] == [
        ("get_parcel", Risk.READ), ("return_parcel", Risk.WRITE), ("lose_parcel", Risk.WRITE),
    ]  # fmt: skip
    assert list(tools[0].spec.parameters["properties"]) == ["id"]


async def test_a_tool_that_raises_is_a_result_for_the_model(agents: Agents) -> None:
    outcome = await ask(agents, work("call lose_parcel"))
    assert (outcome.status, outcome.tools[0].status) == (TurnStatus.COMPLETED_WITH_ERRORS, "failed")
    assert outcome.tools[0].error == "there is no such parcel"


@pytest.mark.parametrize(
    ("message", "reason"),
    [("break", "the model broke"), ("nothing", "no answer"), ("call no_such_tool", "no_such_tool")],
)
async def test_what_goes_wrong_is_an_outcome_with_a_whole_conversation(
    agents: Agents, message: str, reason: str
) -> None:
    outcome = await ask(agents, work(message))
    said = f"{outcome.error} {outcome.reply} {[each.error for each in outcome.tools]}"
    assert reason in said
    assert outcome.status in (TurnStatus.ERROR, TurnStatus.COMPLETED_WITH_ERRORS)
    called = [each.call_id for message in outcome.messages for each in message.tool_calls]
    answered = [each.call_id for message in outcome.messages for each in message.tool_results]
    assert called == answered


async def test_it_sees_history_memories_and_the_prompt_in_place_of_its_instructions(agents: Agents) -> None:
    history = [
        Message(seq=0, message_id="summary", role=Role.SYSTEM, content="Summary: it rained.", timestamp=NOW),
        Message(seq=1, message_id="msg-1", role=Role.USER, content="I have a parcel", timestamp=NOW),
        Message(seq=2, message_id="msg-2", role=Role.ASSISTANT, content="Which?", agent="adk", timestamp=NOW),
        Message(seq=3, message_id="msg-3", role=Role.TOOL, content="", timestamp=NOW),
    ]
    given = replace(work("hello"), history=history, memories=["likes tea"], instructions="Speak of {parcels} only.")
    await ask(agents, given)
    request = adk_agents_for_tests.asked[-1]
    shown = [(each.role, (each.parts or [])[0].text) for each in request.contents]
    told = [("user", "Summary: it rained."), ("user", "I have a parcel"), ("model", "Which?"), ("user", "hello")]
    assert shown == told
    system = str(request.config.system_instruction)
    assert "Speak of {parcels} only." in system, "a prompt is text: ADK fills nothing in"
    assert "- likes tea" in system
    assert "You look after" not in system
    await ask(agents, work("hello"))
    assert "You look after" in str(adk_agents_for_tests.asked[-1].config.system_instruction), "the agent is unchanged"


async def test_turns_share_nothing(agents: Agents) -> None:
    await ask(agents, work("my secret"))
    await ask(agents, work("hello"))
    assert len(adk_agents_for_tests.asked[-1].contents) == 1


@pytest.mark.filterwarnings("ignore:SequentialAgent is deprecated:DeprecationWarning")  # agents in use still are ones
async def test_the_last_of_a_sequence_has_the_reply(agents: Agents) -> None:
    outcome = await ask(agents, work("hello"), known("two_steps"))
    assert outcome.status is TurnStatus.COMPLETED
    assert len(outcome.messages) == 2
    assert outcome.reply == outcome.messages[-1].content


async def test_an_agent_class_of_somebodys_own_counts_as_one_that_writes(agents: Agents) -> None:
    refused = await ask(agents, work("hello", AutonomyLevel.L1), known("opaque"))
    assert "needs L2" in refused.reply
    assert (await ask(agents, work("hello"), known("opaque"))).reply == "as I like"


@pytest.mark.parametrize(
    ("factory", "more", "reason"),
    [("parcels", {"model": "openai:x"}, "its own model"), ("opaque", {"prompt": "p@live"}, "takes no instructions")],
)
async def test_what_adk_could_not_honour_is_refused(
    agents: Agents, factory: str, more: dict[str, object], reason: str
) -> None:
    with pytest.raises(AgentBroken, match=reason):
        await agents.runner(known(factory, **more))


async def test_too_many_model_calls_end_the_turn(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = await agents.runner(known("parcels"))
    assert isinstance(runner, AdkRunner)
    monkeypatch.setattr(runner, "_limits", LoopLimits(1, 10, Limits(5, 1000)))
    outcome = await runner.answer(work("call get_parcel"))
    assert outcome.status is TurnStatus.ERROR
    assert "limit" in (outcome.error or "")
    assert [each.status for each in outcome.tools] == ["completed"]
