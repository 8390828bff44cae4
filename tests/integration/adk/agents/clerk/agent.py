"""An agent whose model is a script: it calls its tool, then says how many messages it was shown."""

from collections.abc import AsyncGenerator

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.tools.tool_context import ToolContext
from google.genai import types


class Scripted(BaseLlm):
    """Asked by a person it calls `count`; shown a result it answers."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        last = (llm_request.contents[-1].parts or [types.Part()])[-1]
        if last.function_response is None:
            part = types.Part(function_call=types.FunctionCall(name="count", args={"word": last.text}))
        else:
            turns = (last.function_response.response or {})["turns"]
            part = types.Part(text=f"turn {turns}, {len(llm_request.contents)} messages")
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def count(word: str, tool_context: ToolContext) -> dict[str, int]:
    """Counts the turns of this session, and the user's and the app's over all sessions."""
    state = tool_context.state
    for key in ("turns", "user:turns", "app:turns"):
        state[key] = state.get(key, 0) + 1
    state["temp:word"] = word
    turns: int = state["turns"]
    return {"turns": turns}


root_agent = LlmAgent(name="clerk", model=Scripted(), instruction="Count.", tools=[count])
