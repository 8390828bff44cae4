"""How a function becomes a tool."""

from typing import Literal

import pytest

from bureau.agents import Risk, Tool, ToolContext, tool

CONTEXT = ToolContext(tenant="acme", user="ada", session_id="sess-1", idempotency_key="k")


@tool(risk="read", examples=["list things"])
async def list_things(context: ToolContext, colour: Literal["red", "blue"] | None = None, limit: int = 5) -> list[str]:
    """List the user's things."""
    return [context.user, str(colour), str(limit)]


def test_docstring_annotations_and_defaults_become_the_description_and_schema() -> None:
    assert isinstance(list_things, Tool)
    assert (list_things.name, list_things.description) == ("list_things", "List the user's things.")
    assert (list_things.risk, list_things.examples) == (Risk.READ, ("list things",))
    properties = list_things.parameters["properties"]
    assert set(properties) == {"colour", "limit"}, "a model neither sees nor fills the context"
    assert properties["limit"] == {"default": 5, "type": "integer"}
    assert list_things.parameters["additionalProperties"] is False


async def test_the_function_gets_its_arguments_and_the_context() -> None:
    assert await list_things.call({"colour": "red"}, CONTEXT) == ["ada", "red", "5"]


async def test_a_plain_function_is_a_tool_too() -> None:
    @tool()
    def double(number: int) -> int:
        return number * 2

    assert await double.call({"number": 4}, CONTEXT) == 8
    assert double.risk is Risk.WRITE, "what is unknown counts as write"
    assert double.parameters["required"] == ["number"]


def test_a_parameter_without_annotation_is_refused() -> None:
    def careless(x):  # type: ignore[no-untyped-def]  # that is what is tested
        return x

    with pytest.raises(TypeError, match="'x' needs an annotation"):
        tool()(careless)


async def test_what_a_function_raises_comes_out() -> None:
    @tool()
    async def fail() -> None:
        raise LookupError("you have no ticket T-1")

    with pytest.raises(LookupError, match="T-1"):
        await fail.call({}, CONTEXT)
