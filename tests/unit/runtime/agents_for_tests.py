"""Agents that the runtime's tests register: parcels with tools of every risk, and some that misbehave."""

import asyncio
from typing import Literal

from bureau.agents import Agent, Risk, ToolContext, tool
from bureau_contracts.registry import Capabilities, RegisterAgent
from bureau_contracts.shapes import JsonObject

MODULE = "tests.unit.runtime.agents_for_tests"
PREFIX = "tests.unit.runtime."

calls: list[tuple[str, str, JsonObject]] = []
"""Tool, user, arguments: what really ran."""


@tool(risk=Risk.READ, examples=["show my parcels", "list parcels", "which parcels are late"])
async def list_parcels(context: ToolContext, state: Literal["late", "arrived"] | None = None) -> list[JsonObject]:
    """List the user's parcels."""
    calls.append(("list_parcels", context.user, {"state": state}))
    parcels: list[JsonObject] = [
        {"parcel_id": "P-7", "title": "Books", "state": "late"},
        {"parcel_id": "P-8", "title": "Lamp", "state": "arrived"},
    ]
    return [each for each in parcels if state in (None, each["state"])]


@tool(risk=Risk.READ, examples=["show details", "where is parcel P-7"])
async def parcel_details(context: ToolContext, parcel_id: str) -> JsonObject:
    """Show one parcel."""
    calls.append(("parcel_details", context.user, {"parcel_id": parcel_id}))
    if parcel_id == "P-0":
        raise LookupError("you have no parcel P-0")
    return {"parcel_id": parcel_id, "title": "Books", "owner": context.user}


@tool(risk=Risk.WRITE, examples=["send parcel P-7 back"])
async def return_parcel(context: ToolContext, parcel_id: str) -> JsonObject:
    """Send a parcel back."""
    calls.append(("return_parcel", context.user, {"parcel_id": parcel_id, "key": context.idempotency_key}))
    return {"parcel_id": parcel_id, "state": "returned"}


@tool(risk=Risk.CRITICAL, examples=["destroy parcel P-7"])
async def destroy_parcel(context: ToolContext, parcel_id: str) -> JsonObject:
    """Destroy a parcel."""
    calls.append(("destroy_parcel", context.user, {"parcel_id": parcel_id}))
    return {"parcel_id": parcel_id, "state": "destroyed"}


def parcels() -> Agent:
    return Agent("You look after parcels.", (list_parcels, parcel_details, return_parcel, destroy_parcel))


async def shout(message: str, context: ToolContext) -> str:
    """A plain coroutine function is an agent too."""
    if message == "break":
        raise RuntimeError("the plain agent broke")
    if message == "sleep":
        await asyncio.sleep(30)
    return f"{context.user.upper()}: {message.upper()}"


def make_shout() -> object:
    return shout


def fails() -> Agent:
    raise RuntimeError("no database for this agent")


def makes_a_number() -> int:
    return 7


def record(name: str, factory: str, **more: object) -> RegisterAgent:
    return RegisterAgent.model_validate({"name": name, "factory_module": MODULE, "factory_function": factory, **more})


PARCELS = record(
    "parcels", "parcels", description="Parcels: lists, finds and returns them.",
    capabilities=Capabilities(example_queries=["show my parcels", "where is my parcel", "send a parcel back"]),
)  # fmt: skip
SHOUT = record(
    "shout", "make_shout", description="Shouts whatever it is told.",
    capabilities=Capabilities(example_queries=["shout something", "say it loudly"]),
)  # fmt: skip
BROKEN = record(
    "broken", "fails", description="Weather forecasts.",
    capabilities=Capabilities(example_queries=["what is the weather like", "will it rain tomorrow"]),
)  # fmt: skip
