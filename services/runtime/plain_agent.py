"""The runner of agents that are one coroutine function: message in, reply out (`bureau.agents.Responder`)."""

import asyncio
from collections.abc import Sequence

from bureau.agents import Responder
from bureau_contracts.runtime import TurnStatus
from bureau_contracts.sessions import NewMessage, Role
from kit.logs import get_logger
from services.runtime import policy
from services.runtime.results import storable_text
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import BoundTool, spoken

log = get_logger(__name__)

REPLY_CHARS = 200_000


class PlainRunner:
    """Promises what `Runner` does. Bureau cannot see what such an agent does, so it counts as one that writes."""

    def __init__(self, name: str, respond: Responder, *, timeout_seconds: float) -> None:
        self._name, self._respond, self._timeout = name, respond, timeout_seconds

    @property
    def tools(self) -> Sequence[BoundTool]:
        return ()

    async def answer(self, work: Work) -> Outcome:
        if not policy.allows(work.level, policy.UNKNOWN_RISK):
            return unanswered(self._name, opaque_refusal(self._name, work))
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                reply: object = await self._respond(work.message, work.context(work.turn_id))
        except Exception as error:  # noqa: BLE001 - an agent is somebody else's code: its failure is an outcome
            if isinstance(error, TimeoutError) and limit.expired():
                return unanswered(self._name, f"no answer within {self._timeout:g} s")
            log.warning("agent_failed", agent=self._name, error=type(error).__name__)
            return unanswered(self._name, spoken(error))
        if not isinstance(reply, str):
            return unanswered(self._name, f"it answered with {type(reply).__name__} instead of text")
        reply = storable_text(reply, REPLY_CHARS)
        return Outcome(TurnStatus.COMPLETED, reply, [NewMessage(role=Role.ASSISTANT, content=reply, agent=self._name)])


def unanswered(name: str, reason: str) -> Outcome:
    """The outcome of an agent that could not answer."""
    reason = storable_text(reason, 2000)
    reply = f"{name} could not answer: {reason}."
    message = NewMessage(role=Role.ASSISTANT, content=reply, agent=name)
    return Outcome(TurnStatus.ERROR, reply, [message], error=reason)


def opaque_refusal(name: str, work: Work) -> str:
    return f"what {name} does cannot be looked into, so {policy.refusal(work.level, policy.UNKNOWN_RISK)}"
