"""Agents that a factory makes with Google's ADK, on ADK's own base model class with a script: nothing is downloaded."""

from collections.abc import AsyncGenerator
from typing import Any

from google.adk.agents import BaseAgent, LlmAgent, SequentialAgent
from google.adk.events import Event
from google.adk.models import BaseLlm, LlmCapabilities
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types

MODULE = "tests.unit.runtime.adk_agents_for_tests"

asked: list[LlmRequest] = []
"""What the model was asked, in order."""
ran: list[tuple[str, str]] = []
"""Tool and user: what really ran."""


class Scripted(BaseLlm):
    """Calls the tool that the message names (``call get_parcel``), and says what came of it; else repeats."""

    model: str = "scripted"

    @property
    def capabilities(self) -> LlmCapabilities:
        return LlmCapabilities(output_schema_and_tools=True)

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        asked.append(llm_request)
        last = llm_request.contents[-1].parts or []
        said = last[-1].text or ""
        if last[-1].function_response is not None:
            part = types.Part(text=f"done: {last[-1].function_response.response}")
        elif said == "break":
            raise RuntimeError("the model broke")
        elif said.startswith("call "):
            part = types.Part(function_call=types.FunctionCall(name=said.removeprefix("call "), args={"id": "P-7"}))
        elif said == "nothing":
            part = types.Part(text="")
        else:
            part = types.Part(text=f"you said: {said}")
        used = types.GenerateContentResponseUsageMetadata(prompt_token_count=10, candidates_token_count=3)
        content = types.Content(role="model", parts=[part])
        yield LlmResponse(content=content, usage_metadata=used, model_version="scripted-1")


async def get_parcel(id: str, tool_context: ToolContext) -> dict[str, Any]:
    """Show one parcel."""
    ran.append(("get_parcel", tool_context.user_id))
    return {"id": id, "tenant": tool_context.state["bureau_tenant"]}


def return_parcel(id: str) -> str:
    """Send a parcel back."""
    ran.append(("return_parcel", ""))
    return f"{id} is on its way back"


def lose_parcel(id: str) -> str:
    """Fails."""
    raise LookupError("there is no such parcel")


def parcels() -> LlmAgent:
    reading = FunctionTool(get_parcel)
    reading.custom_metadata = {"risk": "read"}
    return LlmAgent(
        name="keeper", model=Scripted(), instruction="You look after {parcels?}.",
        tools=[reading, return_parcel, lose_parcel],
    )  # fmt: skip


def two_steps() -> SequentialAgent:
    return SequentialAgent(
        name="steps", sub_agents=[LlmAgent(name="one", model=Scripted()), LlmAgent(name="two", model=Scripted())]
    )


class Opaque(BaseAgent):
    """Does what it wants: nobody outside can see it."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event, None]:
        yield Event(author=self.name, content=types.Content(role="model", parts=[types.Part(text="as I like")]))


def opaque() -> Opaque:
    return Opaque(name="opaque")
