"""Bureau's policy inside of ADK: a plugin that ADK asks before each tool call, also of sub-agents. Runs nothing."""

from collections.abc import Collection, Sequence
from typing import Any

from google.adk.agents.callback_context import CallbackContext
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.risk import Risk
from services.runtime import policy
from services.runtime.toolbox import spoken

RISK_KEY = "risk"
"""In an ADK tool's `custom_metadata`: how its author says that it only reads, or that it is critical."""

_ADKS_OWN = frozenset({"google.adk.tools.transfer_to_agent_tool", "google.adk.tools.exit_loop_tool"})
"""Who speaks next is no effect on anything."""

MEMORIES = "What is known about the user from earlier conversations:"


class PolicyPlugin(BasePlugin):
    """For one turn. Remembers what it refused and what failed, by the call's id."""

    def __init__(self, level: AutonomyLevel, allowed: Collection[str] | None, memories: Sequence[str]) -> None:
        super().__init__(name="bureau_policy")
        self._level, self._allowed, self._memories = level, allowed, memories
        self.risks: dict[str, Risk] = {}
        self.refused: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        if self._memories:
            llm_request.append_instructions(["\n".join([MEMORIES, *(f"- {each}" for each in self._memories)])])
        return None

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> dict[str, Any] | None:
        call, risk = tool_context.function_call_id or "", risk_of(tool)
        self.risks[call] = risk
        if _steers(tool):
            return None
        if self._allowed is not None and tool.name not in self._allowed:
            return self._refuse(call, f"not allowed: {tool.name} is not among the tools that this agent may use")
        if not policy.allows(self._level, risk):
            return self._refuse(call, policy.refusal(self._level, risk))
        return None

    async def on_tool_error_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext, error: Exception
    ) -> dict[str, Any] | None:
        """A tool that raises is a result for the model, as it is in our own loop."""
        self.failed[tool_context.function_call_id or ""] = spoken(error)
        return {"error": spoken(error)}

    def _refuse(self, call: str, reason: str) -> dict[str, Any]:
        self.refused[call] = reason
        return {"error": reason}


def risk_of(tool: BaseTool) -> Risk:
    """What its author says of it; a tool of which nothing is said counts as one that writes."""
    if _steers(tool):
        return Risk.READ
    said = (tool.custom_metadata or {}).get(RISK_KEY)
    return Risk(said) if said in list(Risk) else policy.UNKNOWN_RISK


def _steers(tool: BaseTool) -> bool:
    return getattr(getattr(tool, "func", None), "__module__", "") in _ADKS_OWN
