"""From a record to something that answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bureau_contracts.registry import AgentRecord, AutonomyLevel, RegisterAgent
from bureau_contracts.runtime import HttpTurn, TurnStatus
from kit.factories import FactoryResolver
from services.runtime.agents import AgentBroken, Agents, AgentSettings
from services.runtime.http_agent import ANSWER_BYTES
from services.runtime.loop import LoopLimits, LoopRunner
from services.runtime.models.catalogue import Models
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import Limits
from tests.unit.runtime.agents_for_tests import PARCELS, PREFIX, SHOUT, record
from tests.unit.runtime.scripted import ScriptedModel, says

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def known(agent: RegisterAgent, revision: int = 1, registered_at: datetime = NOW) -> AgentRecord:
    return AgentRecord(
        **agent.model_dump(exclude_unset=True), revision=revision, registered_at=registered_at, updated_at=NOW
    )


def work(message: str = "hello", level: AutonomyLevel = AutonomyLevel.L2) -> Work:
    return Work(message, [], ["likes tea"], level, "acme", "ada", "sess-1", "turn-1")


class Endpoint:
    """A remote agent: answers what a test says and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer = httpx.Response(200, json={"reply": "from afar", "usage": {"input_tokens": 3}})
        self.failure: Exception | None = None
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.failure:
            raise self.failure
        return self.answer


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def agents(endpoint: Endpoint) -> AsyncIterator[Agents]:
    limits = LoopLimits(5, 5, Limits(5, 1000))
    models = Models({"offline": lambda _: ScriptedModel([says("scripted")])}, "offline")
    async with httpx.AsyncClient(transport=httpx.MockTransport(endpoint)) as client:
        yield Agents(FactoryResolver([PREFIX]), models, client, AgentSettings(0.2, limits))


async def test_a_factory_that_gives_an_agent_is_run_by_the_loop(agents: Agents) -> None:
    runner = await agents.runner(known(PARCELS))
    assert isinstance(runner, LoopRunner)
    assert [each.spec.name for each in runner.tools] == [
        "list_parcels", "parcel_details", "return_parcel", "destroy_parcel",
    ]  # fmt: skip
    assert (await runner.answer(work())).reply == "scripted"


async def test_the_records_tools_are_an_allow_list(agents: Agents) -> None:
    runner = await agents.runner(known(PARCELS.model_copy(update={"tools": ["list_parcels", "not_there"]})))
    assert [each.spec.name for each in runner.tools] == ["list_parcels"]


async def test_an_agent_is_built_once_until_its_record_changes(agents: Agents) -> None:
    first = await agents.runner(known(PARCELS))
    assert await agents.runner(known(PARCELS)) is first
    assert await agents.runner(known(PARCELS, revision=2)) is not first
    assert await agents.runner(known(PARCELS, registered_at=datetime(2026, 2, 1, tzinfo=UTC))) is not first


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (record("x", "fails"), "no database for this agent"),
        (record("x", "makes_a_number"), "neither a bureau.agents.Agent nor a coroutine function"),
        (record("x", "not_there"), "has no function 'not_there'"),
        (record("x", "parcels", factory_params={"colour": "red"}), "colour"),
        (RegisterAgent(name="x", factory_module="os", factory_function="getcwd"), "not under an allowed prefix"),
    ],
)
async def test_an_agent_that_cannot_be_built_says_why(agents: Agents, agent: RegisterAgent, reason: str) -> None:
    with pytest.raises(AgentBroken, match=reason):
        await agents.runner(known(agent))


@pytest.mark.parametrize(
    "agent", [SHOUT, RegisterAgent(name="x", a2a="http://agent/a2a"), RegisterAgent(name="x", http="http://agent/turn")]
)
async def test_a_prompt_for_an_agent_that_takes_no_instructions_is_refused(
    agents: Agents, agent: RegisterAgent
) -> None:
    with pytest.raises(AgentBroken, match="takes no instructions") as broken:
        await agents.runner(known(agent.model_copy(update={"prompt": "greeting@live"})))
    assert broken.value.code == "agent_not_runnable"


async def test_a_prompt_stands_in_place_of_the_agents_instructions(agents: Agents) -> None:
    model = ScriptedModel([says("a"), says("b")])
    runner = LoopRunner("x", "its own", [], Models({"m": lambda _: model}, "m"), None, LoopLimits(5, 5, Limits(5, 99)))
    await runner.answer(work())
    await runner.answer(replace(work(), instructions="the prompt's"))
    assert [each.instructions for each in model.asked] == ["its own", "the prompt's"]


async def test_a_plain_coroutine_function_answers(agents: Agents) -> None:
    outcome = await (await agents.runner(known(SHOUT))).answer(work("hello"))
    assert (outcome.status, outcome.reply, outcome.cost) == (TurnStatus.COMPLETED, "ADA: HELLO", None)


@pytest.mark.parametrize(
    ("message", "reason"), [("break", "the plain agent broke"), ("sleep", "no answer within 0.2 s")]
)
async def test_a_plain_agent_that_fails_is_an_outcome(agents: Agents, message: str, reason: str) -> None:
    outcome = await (await agents.runner(known(SHOUT))).answer(work(message))
    assert (outcome.status, outcome.error) == (TurnStatus.ERROR, reason)
    assert reason in outcome.reply


@pytest.mark.parametrize("agent", [SHOUT, RegisterAgent(name="far", http="http://agent/turn")])
@pytest.mark.parametrize("level", [AutonomyLevel.L0, AutonomyLevel.L1])
async def test_an_agent_that_cannot_be_looked_into_counts_as_one_that_writes(
    agents: Agents, endpoint: Endpoint, agent: RegisterAgent, level: AutonomyLevel
) -> None:
    outcome = await (await agents.runner(known(agent))).answer(work(level=level))
    assert outcome.status is TurnStatus.ERROR
    assert "needs L2" in outcome.reply
    assert endpoint.requests == []


async def ask_far(agents: Agents) -> Outcome:
    return await (await agents.runner(known(RegisterAgent(name="far", http="http://agent/turn")))).answer(work())


async def test_a_remote_agent_gets_the_turn_and_its_reply_is_the_answer(agents: Agents, endpoint: Endpoint) -> None:
    outcome = await ask_far(agents)
    assert (outcome.status, outcome.reply, outcome.usage.input_tokens) == (TurnStatus.COMPLETED, "from afar", 3)
    request = endpoint.requests[0]
    turn = HttpTurn.model_validate_json(request.content)
    assert (turn.message, turn.session_id, turn.memories) == ("hello", "sess-1", ["likes tea"])
    assert request.headers["idempotency-key"] == "turn-1"
    assert "x-bureau-principal" not in request.headers, "the endpoint is not one of ours"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(500, text="secret stack trace"), "its endpoint answered 500"),
        (httpx.Response(302, headers={"location": "http://inside/"}), "its endpoint answered 302"),
        (httpx.Response(200, text="hello"), "did not answer with a reply"),
        (httpx.Response(200, json={"answer": 1}), "did not answer with a reply"),
        (httpx.Response(200, content=b"x" * (ANSWER_BYTES + 1)), "bytes"),
        (httpx.ConnectError("refused"), "cannot be reached (ConnectError)"),
        (httpx.ReadTimeout("slow"), "cannot be reached (ReadTimeout)"),
    ],
)
async def test_a_remote_agent_that_fails_is_an_outcome(
    agents: Agents, endpoint: Endpoint, answer: Any, reason: str
) -> None:
    if isinstance(answer, Exception):
        endpoint.failure = answer
    else:
        endpoint.answer = answer
    outcome = await ask_far(agents)
    assert outcome.status is TurnStatus.ERROR
    assert reason in outcome.reply
    assert "secret" not in outcome.reply
