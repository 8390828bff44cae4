"""The runner of agents that a factory made with Google's ADK. Imported only when there is one: ADK is an extra.

ADK runs the model and the tools itself. What Bureau can still do about the tools, it does in a plugin: before each call
ADK asks it, and a call above the autonomy level does not run.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from google.adk.agents import BaseAgent, LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.agents.run_config import RunConfig
from google.adk.apps import App
from google.adk.events import Event
from google.adk.runners import Runner as AdkTurn
from google.adk.sessions import InMemorySessionService
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool
from google.genai import types

from bureau.agents import ToolContext
from bureau_contracts.sessions import Message, Role
from bureau_contracts.shapes import JsonObject
from kit.logs import get_logger
from services.runtime import policy
from services.runtime.adk_events import Account
from services.runtime.adk_policy import PolicyPlugin, risk_of
from services.runtime.loop import LoopLimits
from services.runtime.models.model import ToolSpec
from services.runtime.plain_agent import opaque_refusal, unanswered
from services.runtime.runner import Outcome, Work
from services.runtime.tool_failures import ToolFailed
from services.runtime.toolbox import BoundTool, spoken

log = get_logger(__name__)

APP_NAME = "bureau"
_SEEN_THROUGH: tuple[type[BaseAgent], ...] = (LlmAgent, SequentialAgent, ParallelAgent, LoopAgent)
"""ADK's own agents that do nothing but call models and tools."""


class AdkRunner:
    """Promises what `Runner` does. Every turn gets an ADK session of its own, in memory, filled from our history:
    what must outlast the turn is in Bureau's session, not in ADK's."""

    def __init__(self, name: str, agent: BaseAgent, allowed: Sequence[str] | None, limits: LoopLimits) -> None:
        self._name, self._agent, self._limits = name, agent, limits
        self._allowed = None if allowed is None else frozenset(allowed)
        self._transparent = _is_transparent(agent)

    @property
    def tools(self) -> Sequence[BoundTool]:
        """The function tools of the whole tree; what a toolset holds is known only when it is asked."""
        found = {each.name: each for agent in _tree(self._agent) for each in _declared(agent)}
        return [
            BoundTool(_spec(each), _only_inside) for each in found.values()
            if self._allowed is None or each.name in self._allowed
        ]  # fmt: skip

    async def answer(self, work: Work) -> Outcome:
        if not self._transparent and not policy.allows(work.level, policy.UNKNOWN_RISK):
            return unanswered(self._name, opaque_refusal(self._name, work))
        plugin = PolicyPlugin(work.level, self._allowed, work.memories)
        account = Account(self._name, plugin, self._limits.tools.result_chars)
        limit = asyncio.timeout(self._limits.seconds)
        try:
            async with limit:
                await self._run(work, plugin, account)
        except Exception as error:  # noqa: BLE001 - an agent is somebody else's code: its failure is an outcome
            if isinstance(error, TimeoutError) and limit.expired():
                return account.failed(f"the answer took longer than {self._limits.seconds:g} s")
            log.warning("agent_failed", agent=self._name, error=type(error).__name__)
            return account.failed(spoken(error))
        return account.outcome()

    async def _run(self, work: Work, plugin: PolicyPlugin, account: Account) -> None:
        sessions = InMemorySessionService()
        session = await sessions.create_session(
            app_name=APP_NAME, user_id=work.user, session_id=work.session_id,
            state={"bureau_tenant": work.tenant, "bureau_turn_id": work.turn_id},
        )  # fmt: skip
        for event in _past(work.history, self._agent.name):
            await sessions.append_event(session, event)
        app = App(name=APP_NAME, root_agent=self._instructed(work), plugins=[plugin])
        # Not closed: that would close the agent's toolsets, which the next turn needs.
        turn = AdkTurn(app=app, session_service=sessions)
        events = turn.run_async(
            user_id=work.user, session_id=work.session_id, run_config=RunConfig(max_llm_calls=self._limits.iterations),
            new_message=types.Content(role="user", parts=[types.Part(text=work.message)]),
        )  # fmt: skip
        async with aclosing(events):
            async for event in events:
                account.add(event)

    def _instructed(self, work: Work) -> BaseAgent:
        if work.instructions is None:
            return self._agent
        text = work.instructions
        # A function, because ADK fills braces in a plain text from its session's state.
        return self._agent.clone(update={"instruction": lambda _: text})


def takes_instructions(agent: BaseAgent) -> bool:
    return isinstance(agent, LlmAgent)


def _past(history: Sequence[Message], agent: str) -> list[Event]:
    """What was said, as ADK's events; tool calls of earlier turns are left out."""
    events = []
    for message in history:
        text = _text(message.content)
        if message.role is Role.TOOL or not text.strip():
            continue
        user = message.role is not Role.ASSISTANT  # ADK knows no third voice: a summary is told as by the user
        content = types.Content(role="user" if user else "model", parts=[types.Part(text=text)])
        events.append(Event(author="user" if user else agent, content=content, invocation_id=message.message_id))
    return events


def _text(content: str | list[JsonObject]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def _tree(agent: BaseAgent) -> list[BaseAgent]:
    found = [agent]
    for each in getattr(agent, "sub_agents", None) or []:
        found += _tree(each)
    return found


def _is_transparent(agent: BaseAgent) -> bool:
    """Whether everything that the tree does goes through function calls, which the plugin is asked about. Not so: an
    agent class of somebody's own, a remote agent, a code executor, a tool that the model's provider runs."""
    return all(type(each) in _SEEN_THROUGH and _asks_for_calls(each) for each in _tree(agent))


def _asks_for_calls(agent: BaseAgent) -> bool:
    if not isinstance(agent, LlmAgent):
        return True
    if agent.code_executor is not None:
        return False
    return all(not isinstance(each, BaseTool) or each._get_declaration() is not None for each in agent.tools)


def _declared(agent: BaseAgent) -> list[BaseTool]:
    if not isinstance(agent, LlmAgent):
        return []
    tools: list[BaseTool] = []
    for each in agent.tools:
        if isinstance(each, BaseTool):
            tools.append(each)
        elif not isinstance(each, BaseToolset) and callable(each):
            tools.append(FunctionTool(each))
    return [each for each in tools if each._get_declaration() is not None]


def _spec(tool: BaseTool) -> ToolSpec:
    declaration = tool._get_declaration()
    parameters: JsonObject = {}
    if declaration is not None and isinstance(declaration.parameters_json_schema, dict):
        parameters = declaration.parameters_json_schema
    elif declaration is not None and declaration.parameters is not None:
        parameters = declaration.parameters.json_schema.model_dump(mode="json", exclude_none=True)
    return ToolSpec(tool.name, tool.description, parameters, risk_of(tool))


async def _only_inside(arguments: JsonObject, context: ToolContext) -> Any:
    raise ToolFailed("ADK calls this tool itself, in its agent's turns alone")
