"""How tool calls run: allowed, fitting, in time, together, and once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bureau.agents import ToolContext
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk
from bureau_contracts.sessions import ToolCall
from bureau_contracts.shapes import JsonObject
from services.runtime.models.model import ToolSpec
from services.runtime.toolbox import CALLS_AT_ONCE, BoundTool, Limits, Toolbox

ANY = {"type": "object"}


class Caller:
    def context(self, idempotency_key: str) -> ToolContext:
        return ToolContext("acme", "ada", "sess-1", idempotency_key)


class Counter:
    """A tool that counts its calls and answers with the number."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def __call__(self, arguments: JsonObject, context: ToolContext) -> Any:
        self.keys.append(context.idempotency_key)
        return len(self.keys)


def bound(call: Any, name: str = "count", risk: Risk = Risk.READ, parameters: JsonObject = ANY) -> BoundTool:
    return BoundTool(ToolSpec(name, "", parameters, risk), call)


def toolbox(
    *tools: BoundTool, level: AutonomyLevel = AutonomyLevel.L3, seconds: float = 5, chars: int = 1000, turn: str = "t"
) -> Toolbox:
    return Toolbox(tools, level, Caller(), turn, Limits(seconds, chars))


def calls(*named: tuple[str, JsonObject]) -> Sequence[ToolCall]:
    return [ToolCall(call_id=f"c{number}", name=name, arguments=given) for number, (name, given) in enumerate(named)]


async def test_every_call_gets_its_result_in_order() -> None:
    async def echo(arguments: JsonObject, context: ToolContext) -> Any:
        await asyncio.sleep(0.01 if arguments["n"] == 0 else 0)
        return arguments["n"]

    box = toolbox(bound(echo, "echo"))
    results = await box.run(calls(("echo", {"n": 0}), ("echo", {"n": 1})), {})
    assert [(each.call_id, each.result) for each in results] == [("c0", 0), ("c1", 1)]
    assert [each.arguments["n"] for each in box.traces] == [0, 1]


async def test_independent_calls_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(3)

    async def meet(arguments: JsonObject, context: ToolContext) -> Any:
        async with asyncio.timeout(5):
            await meeting.wait()  # returns only when all three are here
        return "met"

    box = toolbox(bound(meet, "meet"))
    results = await box.run(calls(*(("meet", {"n": n}) for n in range(3))), {})
    assert [each.result for each in results] == ["met"] * 3


async def test_identical_calls_of_one_answer_run_once() -> None:
    counter = Counter()
    box = toolbox(bound(counter))
    results = await box.run(calls(("count", {"a": 1}), ("count", {"a": 1}), ("count", {"a": 2})), {})
    assert len(counter.keys) == 2
    assert results[0].result == results[1].result
    assert len(box.traces) == 2


async def test_a_call_that_may_change_something_is_never_repeated_in_one_turn() -> None:
    reading, writing = Counter(), Counter()
    box = toolbox(bound(reading, "read"), bound(writing, "write", Risk.WRITE))
    for _ in range(2):
        results = await box.run(calls(("read", {}), ("write", {})), {})
    assert (len(reading.keys), len(writing.keys)) == (2, 1), "reading again may give something new"
    assert [each.result for each in results] == [2, 1]


async def test_the_same_call_of_the_same_turn_has_the_same_idempotency_key_when_it_is_sent_again() -> None:
    counter = Counter()
    for turn in ("sess-1/turn-1", "sess-1/turn-1", "sess-1/turn-2"):
        await toolbox(bound(counter), turn=turn).run(calls(("count", {"b": 2, "a": 1})), {})
    await toolbox(bound(counter), turn="sess-1/turn-1").run(calls(("count", {"a": 1, "b": 2})), {})
    first, again, other, reordered = counter.keys
    assert first == again == reordered != other


@pytest.mark.parametrize(
    ("level", "ran"),
    [
        (AutonomyLevel.L0, set()),
        (AutonomyLevel.L1, {"read"}),
        (AutonomyLevel.L2, {"read", "write"}),
        (AutonomyLevel.L3, {"read", "write", "critical"}),
    ],
)
async def test_a_call_above_the_autonomy_level_does_not_run(level: AutonomyLevel, ran: set[str]) -> None:
    counters = {risk.value: Counter() for risk in Risk}
    box = toolbox(*(bound(counter, name, Risk(name)) for name, counter in counters.items()), level=level)
    results = await box.run(calls(*((name, {}) for name in counters)), {})
    assert {name for name, counter in counters.items() if counter.keys} == ran
    assert {each.name for each in box.traces if each.status == "refused"} == set(counters) - ran
    assert all("autonomy level" in (each.error or "") for each in results if each.name not in ran)


async def test_arguments_that_do_not_fit_never_reach_the_tool() -> None:
    counter = Counter()
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    box = toolbox(bound(counter, parameters=schema))
    results = await box.run(calls(("count", {"n": "five"}), ("count", {}), ("count", {"n": 1, "m": 2})), {})
    assert counter.keys == []
    assert results[0].error == "the arguments do not fit: n: 'five' is not of type 'integer'"
    assert "'n' is a required property" in (results[1].error or "")
    assert "'m' was unexpected" in (results[2].error or "")
    assert {each.status for each in box.traces} == {"failed"}


async def test_what_goes_wrong_in_one_call_is_its_result_and_harms_no_other() -> None:
    async def sleep(arguments: JsonObject, context: ToolContext) -> Any:
        await asyncio.sleep(30)

    async def fail(arguments: JsonObject, context: ToolContext) -> Any:
        raise KeyError("x")

    async def own_timeout(arguments: JsonObject, context: ToolContext) -> Any:
        raise TimeoutError("the warehouse did not answer")

    counter = Counter()
    tools = [bound(sleep, "sleep"), bound(fail, "fail"), bound(own_timeout, "slow"), bound(counter)]
    box = toolbox(*tools, seconds=0.05)
    given = calls(("sleep", {}), ("fail", {}), ("slow", {}), ("unknown", {}), ("count", {}), ("count", {"b": 1}))
    results = await box.run(given, {"c5": "not JSON"})
    assert [each.error for each in results] == [
        "no answer within 0.05 s; whether it took effect is not known",
        "KeyError: 'x'",
        "the warehouse did not answer",
        "there is no tool 'unknown'; there are: sleep, fail, slow, count",
        None,
        "not JSON",
    ]
    assert [each.status for each in box.traces] == ["failed"] * 4 + ["completed", "failed"]


async def test_a_schema_that_is_itself_wrong_is_a_failed_call() -> None:
    box = toolbox(bound(Counter(), parameters={"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}}))
    assert (await box.run(calls(("count", {"a": 1})), {}))[0].error


async def test_more_calls_than_run_at_once_are_answered_but_not_made() -> None:
    counter = Counter()
    given = calls(*(("count", {"n": n}) for n in range(CALLS_AT_ONCE + 2)))
    results = await toolbox(bound(counter)).run(given, {})
    assert len(counter.keys) == CALLS_AT_ONCE
    assert [each.call_id for each in results] == [each.call_id for each in given]
    assert all("not run" in (each.error or "") for each in results[CALLS_AT_ONCE:])


async def test_a_long_result_is_cut() -> None:
    async def long(arguments: JsonObject, context: ToolContext) -> Any:
        return "x" * 10_000

    results = await toolbox(bound(long, "long"), chars=100).run(calls(("long", {})), {})
    assert len(results[0].result) == 100


async def test_a_call_that_was_cut_off_is_shown_as_such() -> None:
    async def sleep(arguments: JsonObject, context: ToolContext) -> Any:
        await asyncio.sleep(30)

    box = toolbox(bound(sleep, "sleep", Risk.WRITE), bound(Counter()))
    given = calls(("sleep", {}), ("count", {}))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await box.run(given, {})
    assert {each.name: each.status for each in box.traces} == {"count": "completed", "sleep": "failed"}
    closed = box.close(given, "not run")
    assert closed[0].error == "it was cut off; whether it took effect is not known"
    assert closed[1].result == 1
