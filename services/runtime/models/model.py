"""The model port: what a turn asks of a language model. One call, one reply; knows no agent and runs no tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bureau_contracts.runtime import Risk
from bureau_contracts.sessions import NewMessage, ToolCall
from bureau_contracts.shapes import JsonObject


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: JsonObject
    """JSON schema of the arguments, an object."""
    risk: Risk = Risk.WRITE
    examples: tuple[str, ...] = ()
    """What people say when they mean this tool."""


@dataclass(frozen=True)
class ModelRequest:
    instructions: str
    messages: Sequence[NewMessage]
    """The conversation, oldest first, ending with the user's message or with the tools' results to it."""
    tools: Sequence[ToolSpec] = ()
    memories: Sequence[str] = ()
    """What is known of the user from other conversations, most relevant first."""


@dataclass(frozen=True)
class ModelReply:
    """Text for the user, or tool calls, or both."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    malformed: Mapping[str, str] = field(default_factory=dict)
    """call_id → what was wrong with the arguments that the model wrote; such a call cannot run."""
    model: str = ""
    """Which model answered, as its provider says."""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    """True when the provider gave no token counts."""
    cost: float | None = None
    """US dollars; None when the price is not known, never a guess."""


class ModelFailed(Exception):
    """A model gave no usable answer. The message says why, and holds no secret."""


class Model(Protocol):
    """Promises: the reply's call ids are unique and 1–200 characters long; every failure is a ModelFailed; the call
    ends within the adapter's own time limit; retries, if any, happen inside."""

    provider: str
    """As the GenAI conventions of OpenTelemetry name it, e.g. ``openai``."""
    name: str

    async def complete(self, request: ModelRequest) -> ModelReply: ...


def estimate_tokens(text: str) -> int:
    """An honest guess where no provider counts: four bytes to a token, and one token to each wide character."""
    wide = sum(character > "\u2e7f" for character in text)
    return wide + -(-(len(text.encode()) - 3 * wide) // 4) if text else 0
