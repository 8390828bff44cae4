"""Python coroutines as steps: how they are registered, found and called.

    @step_function("invoices.send")
    async def send(context: StepContext, *, month: str) -> dict[str, int]: ...

A worker imports the modules that JOBS_FUNCTION_MODULES names and offers what is registered there.
"""

import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from bureau_contracts.steps import NewStep
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed

StepFunction = Callable[..., Awaitable[Any]]
F = TypeVar("F", bound=StepFunction)
_MARK = "__bureau_step__"


class FunctionsError(Exception):
    """A module of functions cannot be used; the message says why."""


def step_function(name: str) -> Callable[[F], F]:
    """Registers a coroutine function. It is called with the StepContext and the step's arguments by name; it raises
    TryLater or OutcomeUnknown when it may be tried again, and anything else when not."""

    def mark(function: F) -> F:
        setattr(function, _MARK, name)
        return function

    return mark


def load_functions(modules: Iterable[str]) -> dict[str, StepFunction]:
    """What the modules register, by name. Raises FunctionsError."""
    found: dict[str, StepFunction] = {}
    for module in modules:
        try:
            members = vars(importlib.import_module(module)).values()
        except Exception as error:
            raise FunctionsError(f"module {module!r} cannot be imported: {error!r}") from error
        for member in list(members):
            name = getattr(member, _MARK, None)
            if not isinstance(name, str):
                continue
            if not inspect.iscoroutinefunction(member):
                raise FunctionsError(f"{module}: {name!r} is not a coroutine function")
            if found.setdefault(name, member) is not member:
                raise FunctionsError(f"{module}: {name!r} is registered twice")
    return found


class FunctionRunner:
    def __init__(self, functions: Mapping[str, StepFunction]) -> None:
        self._functions = functions
        self._signatures = {name: inspect.signature(function) for name, function in functions.items()}

    async def run(self, step: NewStep, context: StepContext) -> Any:
        function = self._functions.get(step.function or "")
        if function is None:
            raise StepFailed(f"no function {step.function!r} is registered with this worker")
        try:
            self._signatures[step.function or ""].bind(context, **step.arguments)
        except TypeError as error:
            raise StepFailed(f"{step.function}: {error}") from error
        try:
            return await function(context, **step.arguments)
        except StepFailed:
            raise
        except (TimeoutError, ConnectionError) as error:
            raise OutcomeUnknown(f"{step.function}: {error!r}") from error
        except Exception as error:
            raise StepFailed(f"{step.function}: {error!r}") from error
