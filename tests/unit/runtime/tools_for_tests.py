"""An agent whose own tools go wrong, each in one way; and a tool that has a registered tool's name."""

import asyncio

from bureau.agents import Agent, Risk, ToolContext, tool
from bureau_contracts.shapes import JsonObject

MODULE = "tests.unit.runtime.tools_for_tests"

calls: list[tuple[str, str, str]] = []
"""Tool, user, idempotency key: what really ran."""


def _ran(name: str, context: ToolContext) -> None:
    calls.append((name, context.user, context.idempotency_key))


@tool(risk=Risk.WRITE)
async def weather(context: ToolContext) -> str:
    """Its own weather."""
    _ran("weather", context)
    return "its own"


@tool(risk=Risk.READ)
async def slow_read(context: ToolContext) -> str:
    """Takes too long."""
    _ran("slow_read", context)
    await asyncio.sleep(60)
    return ""


@tool(risk=Risk.WRITE)
async def slow_write(context: ToolContext) -> str:
    """Takes too long, and may have done it."""
    _ran("slow_write", context)
    await asyncio.sleep(60)
    return ""


@tool(risk=Risk.WRITE, idempotent=True)
async def slow_set(context: ToolContext) -> str:
    """Takes too long; twice is as once."""
    _ran("slow_set", context)
    await asyncio.sleep(60)
    return ""


@tool(risk=Risk.WRITE)
async def torn(context: ToolContext) -> str:
    """Loses whoever it has called."""
    _ran("torn", context)
    raise ConnectionResetError("the line broke")


@tool(risk=Risk.WRITE)
async def declines(context: ToolContext) -> JsonObject:
    """Says no."""
    _ran("declines", context)
    raise PermissionError("the till is closed")


def misfits() -> Agent:
    return Agent("You try.", (weather, slow_read, slow_write, slow_set, torn, declines))
