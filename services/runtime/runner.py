"""The runner port: one agent answers one message. What an agent is made of, its runner alone knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bureau.agents import ToolContext
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import ToolTrace, TurnStatus, Usage
from bureau_contracts.sessions import Message, NewMessage
from services.runtime.toolbox import BoundTool


@dataclass(frozen=True)
class Work:
    """One message for one agent, and what it may know and do."""

    message: str
    history: Sequence[Message]
    """What was said before, oldest first."""
    memories: Sequence[str]
    level: AutonomyLevel
    """Already under the agent's ceiling."""
    tenant: str
    user: str
    session_id: str
    turn_id: str
    instructions: str | None = None
    """In place of those that the agent was built with; from the prompt that its record names."""

    def context(self, idempotency_key: str) -> ToolContext:
        return ToolContext(self.tenant, self.user, self.session_id, idempotency_key)


@dataclass(frozen=True)
class Outcome:
    """What came of it. A failure is an outcome too: the user's message and whatever was done are recorded with it."""

    status: TurnStatus
    reply: str
    messages: Sequence[NewMessage]
    """Everything after the user's message, ending with the reply: tool calls, their results, the answer."""
    tools: Sequence[ToolTrace] = ()
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    error: str | None = None


class Runner(Protocol):
    """Promises: whatever the agent's own code or a remote end does comes back as an Outcome, never as an exception;
    only cancellation passes through."""

    @property
    def tools(self) -> Sequence[BoundTool]:
        """What the agent may call, as far as Bureau can see."""

    async def answer(self, work: Work) -> Outcome: ...
