"""The port of summarisers: what was said before, and what is left of it in so many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bureau_contracts.sessions import Message


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be summarised: the summary of all that came before, and the messages that follow it."""

    before: str
    """"" when nothing came before."""
    messages: Sequence[Message]
    """In order, none missing; a tool's result is never without its call."""


@dataclass(frozen=True, slots=True)
class Summarised:
    text: str
    made_by: str
    """The summariser that made it, and what failed before it, if any."""


class SummariserFailed(Exception):
    """No usable summary came of it. The message says why, and holds no secret and nothing of the conversation."""


class Summariser(Protocol):
    """Promises: the text is not empty and stands for all of the material, also for the summary before; it ends within
    the adapter's own time limit; whatever goes wrong is SummariserFailed; nothing blocks the event loop."""

    name: str

    async def summarise(self, material: Material, tokens: int) -> Summarised:
        """In about `tokens` tokens: a model that cannot count may take up to half as many more."""
