"""A `tool` step: one tool call through the runtime, on behalf of the job's owner and at the job's autonomy level.

the runtime answers                              the step
completed                                        passes with {"result", "tool", "trace_id"}
try_later; 429; 503; 409 that says when          may be tried again (TryLater)
failed; a longer result than it sends; other 4xx fails
unknown_outcome; anything else, or nothing       may have done its work (OutcomeUnknown)
"""

from typing import Any, Protocol

from bureau.errors import BureauError, NotReached, Refused
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import CallStatus, ToolCalled
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import NewStep
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater


class ToolCalls(Protocol):
    """What is used of the runtime."""

    async def call_tool(
        self, name: str, arguments: JsonObject | None = None, *, agent: str | None = None,
        autonomy_level: AutonomyLevel | None = None, idempotency_key: str | None = None, timeout_seconds: float = ...,
    ) -> ToolCalled:  # fmt: skip
        """The key goes on to the tool, which may know by it what it has done already."""


class ToolRunner:
    """The client must not retry by itself: a job's attempts are the one layer that does."""

    def __init__(self, tools: ToolCalls) -> None:
        self._tools = tools

    async def run(self, step: NewStep, context: StepContext) -> Any:
        if step.tool is None:
            raise StepFailed("a tool step needs a tool")
        try:
            answer = await self._tools.call_tool(
                step.tool.name, step.arguments, agent=step.tool.agent, autonomy_level=context.autonomy_level,
                idempotency_key=context.idempotency_key, timeout_seconds=step.timeout_seconds,
            )  # fmt: skip
        except BureauError as error:
            raise _refusal(error) from error
        return _result(answer)


def _refusal(error: BureauError) -> StepFailed:
    """While the runtime refuses, it has sent nothing; a 409 that says when to come back is for now."""
    refused = isinstance(error, Refused) and (error.status == 429 or (error.status == 409 and error.retry_after))
    if refused or error.status == 503 or isinstance(error, NotReached):
        return TryLater(str(error), retry_after=error.retry_after)
    return StepFailed(str(error)) if isinstance(error, Refused) else OutcomeUnknown(str(error))


def _result(answer: ToolCalled) -> dict[str, Any]:
    why = f"{answer.name}: {answer.error}"
    match answer.status:
        case CallStatus.COMPLETED if answer.cut:
            # It was carried out: trying it again would not make the answer shorter.
            raise StepFailed(f"{answer.name} was called; its result is too long, it was cut")
        case CallStatus.COMPLETED:
            return {"result": answer.result, "tool": answer.name, "trace_id": answer.trace_id}
        case CallStatus.TRY_LATER:
            raise TryLater(why, retry_after=answer.retry_after)
        case CallStatus.UNKNOWN_OUTCOME:
            raise OutcomeUnknown(why)
        case CallStatus.FAILED:
            raise StepFailed(why)
