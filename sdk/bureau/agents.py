"""How agents are written: instructions, and tools that are plain Python functions. Runs nothing itself."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from pydantic import ConfigDict, Field, create_model

from bureau_contracts.runtime import Risk
from bureau_contracts.shapes import JsonObject

__all__ = ["Agent", "Risk", "Tool", "ToolContext", "tool"]


@dataclass(frozen=True)
class ToolContext:
    """Who a tool call is for. A tool's function gets it in a parameter of this type; models never see or fill it."""

    tenant: str
    user: str
    session_id: str
    idempotency_key: str
    """The same for the same call, also when it is repeated: pass it to whoever makes the effect."""


@dataclass(frozen=True)
class Tool:
    """One thing that an agent may do."""

    name: str
    description: str
    risk: Risk
    parameters: JsonObject
    """JSON schema of the arguments, an object."""
    examples: tuple[str, ...]
    """What people say when they mean this tool. The offline model chooses by them."""
    function: Callable[..., Any]
    context_parameter: str | None = None
    idempotent: bool = False
    """Doing it twice is as once; see `tool`."""

    async def call(self, arguments: JsonObject, context: ToolContext) -> Any:
        """Runs the function, a plain one in a thread. Arguments must fit `parameters`; what it raises comes out."""
        extra = {self.context_parameter: context} if self.context_parameter else {}
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**arguments, **extra)
        # A plain function may wait for a file or a machine: that must not hold up everybody else.
        result = await asyncio.to_thread(self.function, **arguments, **extra)
        return await result if inspect.isawaitable(result) else result


def tool(
    *, risk: Risk | str = Risk.WRITE, examples: Sequence[str] = (), name: str | None = None, idempotent: bool = False
) -> Callable[[Callable[..., Any]], Tool]:
    """Makes a function a tool. Its docstring is the description, its annotations are the schema.

    A tool that only reads must say so (``risk="read"``): what is unknown counts as `write`. One that writes and may be
    repeated, because it passes the context's idempotency key on or because twice is as once, says ``idempotent=True``.
    Raises TypeError when a parameter has no annotation.
    """

    def make(function: Callable[..., Any]) -> Tool:
        schema, context_parameter = _schema(function)
        return Tool(
            name=name or function.__name__,
            description=inspect.getdoc(function) or "",
            risk=Risk(risk),
            parameters=schema,
            examples=tuple(examples),
            function=function,
            context_parameter=context_parameter,
            idempotent=idempotent,
        )

    return make


@dataclass(frozen=True)
class Agent:
    """What a factory returns: the runtime runs its model-and-tools loop."""

    instructions: str
    tools: tuple[Tool, ...] = ()
    model: str | None = None
    """None means the runtime's default; an agent record's own model wins."""


Responder = Callable[[str, ToolContext], Awaitable[str]]
"""A factory may return a plain coroutine function instead: message in, reply out."""


def _schema(function: Callable[..., Any]) -> tuple[JsonObject, str | None]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            raise TypeError(f"{function.__name__}: parameter {parameter.name!r} needs an annotation")
        if hints[parameter.name] is ToolContext:
            context_parameter = parameter.name
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    model = cast(Any, create_model)(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema: JsonObject = model.model_json_schema()
    schema.pop("title", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    return schema, context_parameter
