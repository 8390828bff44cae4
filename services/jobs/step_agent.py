"""An `agent` step: one turn of an agent, on behalf of the job's owner, in a session of the job's own."""

from contextlib import suppress
from typing import Any, Protocol

from bureau.errors import BureauError, Conflict, TooMany, Unavailable
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import ChatAnswer, TurnStatus
from bureau_contracts.sessions import NewSession, SessionCreated
from bureau_contracts.steps import NewStep
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

LONGEST_TITLE = 300


class Sessions(Protocol):
    """What is used of the sessions service."""

    async def create(self, session: NewSession | None = None) -> SessionCreated:
        """Raises Conflict when the session exists."""


class Turns(Protocol):
    """What is used of the runtime."""

    async def chat(
        self, message: str, *, session_id: str | None = None, user_id: str | None = None, agent: str | None = None,
        autonomy_level: AutonomyLevel | None = None, turn_id: str | None = None, timeout_seconds: float = ...,
    ) -> ChatAnswer:  # fmt: skip
        """The same turn_id gives the same answer."""


class AgentRunner:
    """Both clients must not retry by themselves: a job's attempts are the one layer that does."""

    def __init__(self, sessions: Sessions, turns: Turns) -> None:
        self._sessions, self._turns = sessions, turns

    async def run(self, step: NewStep, context: StepContext) -> Any:
        number = context.job_id.removeprefix("job-")
        # After a retry of the failed job a turn is a new one: the recorded answer would be the failure again.
        turn_id = f"turn-{number}-{context.index}" + (f"-{context.run}" if context.run > 1 else "")
        # An edited step asks something else.
        turn_id += f"-r{context.redo}" if context.redo else ""
        try:
            session_id = step.session_id or await self._own_session(f"sess-{number}", context)
            answer = await self._turns.chat(
                step.message or "", session_id=session_id, agent=step.agent,
                autonomy_level=context.autonomy_level, turn_id=turn_id, timeout_seconds=step.timeout_seconds,
            )  # fmt: skip
        except TooMany as error:
            raise TryLater(str(error), retry_after=error.retry_after) from error
        except Unavailable as error:
            if error.status == 503:
                raise TryLater(str(error), retry_after=error.retry_after) from error
            raise OutcomeUnknown(str(error)) from error
        except Conflict as error:
            if error.retry_after is None:
                raise StepFailed(str(error)) from error
            raise TryLater(str(error), retry_after=error.retry_after) from error
        except BureauError as error:
            raise StepFailed(str(error)) from error
        if answer.status in (TurnStatus.ERROR, TurnStatus.NEEDS_CLARIFICATION):
            raise StepFailed(f"the turn ended as {answer.status}: {answer.reply}")
        return answer.model_dump(
            mode="json",
            include={"reply", "status", "agents", "session_id", "turn_id", "usage", "cost", "trace_id"},
        )

    async def _own_session(self, session_id: str, context: StepContext) -> str:
        title = context.title[:LONGEST_TITLE]
        with suppress(Conflict):  # an earlier step, or an earlier attempt, has opened it
            await self._sessions.create(
                NewSession(session_id=session_id, title=title, autonomy_level=context.autonomy_level)
            )
        return session_id
