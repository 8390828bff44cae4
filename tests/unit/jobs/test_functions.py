"""Python coroutines as steps."""

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from bureau_contracts.steps import NewStep, StepKind
from kit.identity import Owner
from services.jobs.functions import FunctionRunner, FunctionsError, load_functions, step_function
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

CONTEXT = StepContext("job-1", "t", Owner("acme", "ann"), index=2, attempt=1, run=1)


FAILURES = {"later": TryLater("busy"), "time": TimeoutError(), "reset": ConnectionResetError(), "bug": KeyError("x")}


@step_function("greet")
async def greet(context: StepContext, *, name: str) -> dict[str, str]:
    return {"text": f"hello {name}", "key": context.idempotency_key}


@step_function("raise")
async def raise_it(_: StepContext, *, what: str) -> None:
    raise {"later": TryLater("busy"), "time": TimeoutError(), "reset": ConnectionResetError(), "bug": KeyError("x")}[
        what
    ]


def not_a_coroutine() -> None:
    """Registered by the test below."""


def module(**members: Any) -> str:
    name = f"functions_of_a_test_{len(sys.modules)}"
    made = ModuleType(name)
    vars(made).update(members)
    sys.modules[name] = made
    return name


def step(function: str, **arguments: Any) -> NewStep:
    return NewStep(name="s", kind=StepKind.FUNCTION, function=function, arguments=arguments)


@pytest.fixture
def runner() -> FunctionRunner:
    return FunctionRunner({"greet": greet, "raise": raise_it})


async def test_a_function_is_called_with_its_arguments_and_its_idempotency_key(runner: FunctionRunner) -> None:
    assert await runner.run(step("greet", name="ann"), CONTEXT) == {"text": "hello ann", "key": "job-1:2"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (step("unknown"), "no function 'unknown' is registered"),
        (step("greet"), "missing a required argument: 'name'"),
        (step("greet", name="x", other=1), "unexpected keyword argument 'other'"),
        (step("raise", what="bug"), "KeyError"),
    ],
)
async def test_a_call_that_cannot_succeed_fails_for_good(runner: FunctionRunner, wrong: NewStep, message: str) -> None:
    with pytest.raises(StepFailed, match=message) as raised:
        await runner.run(wrong, CONTEXT)
    assert type(raised.value) is StepFailed


async def test_a_function_says_that_it_may_be_tried_again(runner: FunctionRunner) -> None:
    with pytest.raises(TryLater):
        await runner.run(step("raise", what="later"), CONTEXT)


@pytest.mark.parametrize("what", ["time", "reset"])
async def test_a_function_that_got_no_answer_leaves_its_outcome_open(runner: FunctionRunner, what: str) -> None:
    with pytest.raises(OutcomeUnknown):
        await runner.run(step("raise", what=what), CONTEXT)


async def test_cancelling_a_function_is_no_failure_of_it() -> None:
    @step_function("forever")
    async def forever(_: StepContext) -> None:
        await asyncio.Event().wait()

    runner = FunctionRunner({"forever": forever})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await runner.run(step("forever"), CONTEXT)


def test_what_modules_register_is_found() -> None:
    first, second = module(greet=greet, other=1), module(again=greet, raise_it=raise_it)
    found = load_functions([first, second])
    assert (sorted(found), found["greet"], found["raise"]) == (["greet", "raise"], greet, raise_it)


def test_a_module_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(FunctionsError, match="cannot be imported"):
        load_functions(["no.such.module"])

    @step_function("greet")
    async def another(_: StepContext) -> None: ...

    with pytest.raises(FunctionsError, match="registered twice"):
        load_functions([module(greet=greet, another=another)])
    step_function("plain")(not_a_coroutine)  # type: ignore[type-var]
    with pytest.raises(FunctionsError, match="not a coroutine function"):
        load_functions([module(plain=not_a_coroutine)])
