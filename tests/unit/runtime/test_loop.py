"""The model-and-tools loop, with a model that follows a script."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bureau.agents import ToolContext
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk, TurnStatus
from bureau_contracts.sessions import Message, NewMessage, Role
from bureau_contracts.shapes import JsonObject
from services.runtime.loop import LoopLimits, LoopRunner
from services.runtime.models.catalogue import Models
from services.runtime.models.model import ModelFailed, ModelReply, ModelRequest, ToolSpec
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import BoundTool, Limits
from tests.unit.runtime.scripted import Line, ScriptedModel, says, wants


async def echo(arguments: JsonObject, context: ToolContext) -> Any:
    return {"said": arguments, "user": context.user}


async def fail(arguments: JsonObject, context: ToolContext) -> Any:
    raise LookupError("there is no such thing")


TOOLS = [
    BoundTool(ToolSpec("echo", "Says it again.", {"type": "object"}, Risk.READ), echo),
    BoundTool(ToolSpec("fail", "Fails.", {"type": "object"}, Risk.READ), fail),
    BoundTool(ToolSpec("destroy", "Destroys.", {"type": "object"}, Risk.CRITICAL), echo),
]


def work(message: str = "hello", history: Sequence[Message] = (), level: AutonomyLevel = AutonomyLevel.L2) -> Work:
    return Work(message, history, ["likes tea"], level, "acme", "ada", "sess-1", "turn-1")


async def run(*lines: Line, given: Work | None = None, iterations: int = 5) -> tuple[Outcome, ScriptedModel]:
    model = ScriptedModel(lines)
    limits = LoopLimits(iterations, 5, Limits(5, 1000))
    runner = LoopRunner("helper", "Be kind.", TOOLS, Models({"scripted": lambda _: model}, "scripted"), None, limits)
    return await runner.answer(given or work()), model


def roles(outcome: Outcome) -> list[str]:
    return [each.role.value for each in outcome.messages]


async def test_a_model_that_just_answers_is_asked_once() -> None:
    outcome, model = await run(says("Hello."))
    assert (outcome.status, outcome.reply, roles(outcome)) == (TurnStatus.COMPLETED, "Hello.", ["assistant"])
    request = model.asked[0]
    assert (request.instructions, request.memories) == ("Be kind.", ["likes tea"])
    assert [each.name for each in request.tools] == ["echo", "fail", "destroy"]
    assert [(each.role, each.content) for each in request.messages] == [(Role.USER, "hello")]


async def test_results_go_back_to_the_model_until_it_answers() -> None:
    outcome, model = await run(wants(("echo", {"a": 1})), wants(("echo", {"a": 2})), says("Done."))
    assert roles(outcome) == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert [each.role.value for each in model.asked[-1].messages] == ["user", *roles(outcome)[:-1]]
    assert model.asked[1].messages[-1].tool_results[0].result == {"said": {"a": 1}, "user": "ada"}
    assert [(each.name, each.status) for each in outcome.tools] == [("echo", "completed")] * 2


async def test_usage_and_cost_are_the_sum_of_all_model_calls() -> None:
    outcome, _ = await run(wants(("echo", {})), says("Done."))
    usage = outcome.usage
    assert (usage.input_tokens, usage.output_tokens, usage.model_calls, usage.tool_calls) == (20, 4, 2, 1)
    assert (usage.estimated, outcome.cost, outcome.model) == (False, 1.0, "scripted-1")


async def test_a_cost_that_is_not_known_stays_unknown() -> None:
    outcome, _ = await run(wants(("echo", {})), ModelReply("Done.", cost=None, estimated=True))
    assert outcome.cost is None
    assert outcome.usage.estimated


async def test_a_failed_tool_is_told_to_the_model_and_shown_in_the_status() -> None:
    outcome, model = await run(wants(("fail", {})), says("It is not there."))
    assert model.asked[1].messages[-1].tool_results[0].error == "there is no such thing"
    assert outcome.status is TurnStatus.COMPLETED_WITH_ERRORS
    assert outcome.reply == "It is not there."


async def test_a_refused_call_is_told_to_the_model_and_is_no_error() -> None:
    outcome, model = await run(wants(("destroy", {})), says("I may not."))
    assert "needs L3" in (model.asked[1].messages[-1].tool_results[0].error or "")
    assert (outcome.status, outcome.tools[0].status) == (TurnStatus.COMPLETED, "refused")


async def test_malformed_arguments_are_told_to_the_model() -> None:
    outcome, model = await run(wants(("echo", {}), malformed={"call-0": "not a JSON object"}), says("Sorry."))
    assert model.asked[1].messages[-1].tool_results[0].error == "not a JSON object"
    assert outcome.tools[0].status == "failed"


async def test_a_model_that_fails_is_an_honest_reply() -> None:
    outcome, _ = await run(ModelFailed("the model did not answer within 60 s"))
    assert outcome.status is TurnStatus.ERROR
    assert outcome.reply == "I could not answer: the model did not answer within 60 s."
    assert outcome.error == "the model did not answer within 60 s"
    assert outcome.cost is None
    assert roles(outcome) == ["assistant"]


async def test_a_model_that_fails_after_a_tool_ran_keeps_what_was_done() -> None:
    outcome, _ = await run(wants(("echo", {"a": 1})), ModelFailed("gone"))
    assert roles(outcome) == ["assistant", "tool", "assistant"]
    assert (outcome.status, outcome.tools[0].status) == (TurnStatus.ERROR, "completed")


async def test_an_empty_answer_is_an_error_and_not_an_empty_reply() -> None:
    outcome, _ = await run(says("  "))
    assert (outcome.status, outcome.error) == (TurnStatus.ERROR, "the model gave an empty answer")


async def test_a_model_that_never_answers_is_stopped_with_every_call_closed() -> None:
    outcome, model = await run(*(wants(("echo", {"n": n})) for n in range(3)), iterations=3)
    assert len(model.asked) == 3
    assert outcome.status is TurnStatus.COMPLETED_WITH_ERRORS
    assert "limit of 3 model calls" in outcome.reply
    assert len(outcome.tools) == 2, "what nobody would read is not run"
    called = [call.call_id for each in outcome.messages for call in each.tool_calls]
    answered = [result.call_id for each in outcome.messages for result in each.tool_results]
    assert called == answered


async def test_a_turn_that_takes_too_long_is_cut_off_with_every_call_closed() -> None:
    async def sleep(arguments: JsonObject, context: ToolContext) -> Any:
        await asyncio.sleep(30)

    tool = BoundTool(ToolSpec("sleep", "", {"type": "object"}, Risk.READ), sleep)
    models = Models({"scripted": lambda _: ScriptedModel([wants(("sleep", {}))])}, "scripted")
    runner = LoopRunner("helper", "", [tool], models, None, LoopLimits(5, 0.05, Limits(5, 1000)))
    outcome = await runner.answer(work())
    assert (outcome.status, roles(outcome)) == (TurnStatus.ERROR, ["assistant", "tool", "assistant"])
    assert "longer than 0.05 s" in outcome.reply
    assert outcome.tools[0].status == "failed"


async def test_a_model_that_nobody_provides_is_an_honest_reply() -> None:
    models = Models({"offline": lambda _: ScriptedModel([])}, "offline")
    runner = LoopRunner("helper", "", [], models, "vertex:gemini", LoopLimits(5, 5, Limits(5, 1000)))
    outcome = await runner.answer(work())
    assert outcome.status is TurnStatus.ERROR
    assert "no provider of model 'vertex:gemini'" in outcome.reply


async def test_what_no_store_keeps_is_taken_out_of_a_reply() -> None:
    outcome, _ = await run(says("a\x00b\ud800c"))
    assert outcome.reply == outcome.messages[-1].content == "abc"


async def test_every_message_of_a_turn_can_be_stored() -> None:
    outcome, _ = await run(wants(("echo", {"a": float("inf")}), ("fail", {})), says("Done."))
    for each in outcome.messages:
        NewMessage.model_validate_json(each.model_dump_json())


async def test_a_model_is_made_once_for_each_reference() -> None:
    made: list[str] = []

    def make(name: str) -> ScriptedModel:
        made.append(name)
        return ScriptedModel([])

    models = Models({"tests": make}, "tests:a")
    assert models.get(None) is models.get("tests:a")
    assert models.get("tests:b") is not models.get("tests:a")
    assert made == ["a", "b"]
    assert isinstance(ModelRequest("", []), ModelRequest)
