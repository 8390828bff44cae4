"""A `tool` step is one call through the runtime; its failure says whether trying again helps."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from bureau.errors import BureauError, error_of, no_answer
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.risk import Risk
from bureau_contracts.runtime import CallStatus, ToolCalled
from bureau_contracts.shapes import JsonObject
from bureau_contracts.steps import NewStep
from kit.identity import Owner
from services.jobs.step_tool import ToolRunner
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

STEP = NewStep.model_validate(
    {"name": "look", "kind": "tool", "tool": {"name": "files.read", "agent": "clerk"}, "arguments": {"path": "a"}}
)


def answer(status: CallStatus = CallStatus.COMPLETED, **fields: Any) -> ToolCalled:
    given = {"result": {"id": 7}} if status is CallStatus.COMPLETED else {"error": "it answers 500"}
    return ToolCalled.model_validate(
        {"name": "files.read", "status": status, "risk": Risk.WRITE, "repeatable": False, "idempotency_key": "k",
         "trace_id": "0" * 32, **given, **fields}
    )  # fmt: skip


def refusal(status: int, retry_after: float | None = None) -> BureauError:
    after = "null" if retry_after is None else retry_after
    body = f'{{"title": "t", "status": {status}, "code": "approval_needed", "retry_after": {after}}}'
    return error_of(status, body.encode())


@dataclass
class Runtime:
    """The runtime, as far as a tool step sees it."""

    says: ToolCalled | BureauError = field(default_factory=answer)
    calls: list[tuple[str, Any, dict[str, Any]]] = field(default_factory=list)

    async def call_tool(self, name: str, arguments: JsonObject | None = None, **given: Any) -> ToolCalled:
        self.calls.append((name, arguments, given))
        if isinstance(self.says, BureauError):
            raise self.says
        return self.says


async def run(says: ToolCalled | BureauError, step: NewStep = STEP, **given: Any) -> tuple[Any, Runtime]:
    runtime = Runtime(says)
    context = StepContext(
        "job-01", "review", Owner("acme", "ann"), 3, attempt=2, run=1, autonomy_level=AutonomyLevel.L1, **given
    )
    return await ToolRunner(runtime).run(step, context), runtime


async def failure(says: ToolCalled | BureauError) -> StepFailed:
    with pytest.raises(StepFailed) as raised:
        await run(says)
    return raised.value


async def test_the_tool_is_called_with_the_steps_key_and_the_jobs_level() -> None:
    result, runtime = await run(answer())
    assert result == {"result": {"id": 7}, "tool": "files.read", "trace_id": "0" * 32}
    assert runtime.calls == [
        (
            "files.read",
            {"path": "a"},
            {"agent": "clerk", "autonomy_level": AutonomyLevel.L1, "idempotency_key": "job-01:3",
             "timeout_seconds": STEP.timeout_seconds},
        )
    ]  # fmt: skip


async def test_a_step_that_is_done_anew_has_another_key() -> None:
    _, runtime = await run(answer(), redo=1)
    assert runtime.calls[0][2]["idempotency_key"] == "job-01:3:1"


@pytest.mark.parametrize(
    ("says", "kind", "retry_after"),
    [
        (answer(CallStatus.TRY_LATER, retry_after=7), TryLater, 7),
        (answer(CallStatus.TRY_LATER), TryLater, None),
        (answer(CallStatus.UNKNOWN_OUTCOME), OutcomeUnknown, None),
        (answer(CallStatus.FAILED), StepFailed, None),
    ],
    ids=lambda value: value.status if isinstance(value, ToolCalled) else None,
)
async def test_what_came_of_the_call_is_what_came_of_the_step(
    says: ToolCalled, kind: type[StepFailed], retry_after: float | None
) -> None:
    raised = await failure(says)
    assert type(raised) is kind
    assert str(raised) == "files.read: it answers 500"
    assert getattr(raised, "retry_after", None) == retry_after


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal(403), StepFailed),
        (refusal(404), StepFailed),
        (refusal(409), StepFailed),
        (refusal(422), StepFailed),
        (refusal(409, 1), TryLater),
        (refusal(429, 7), TryLater),
        (refusal(503, 2), TryLater),
        (no_answer(httpx.ConnectError("refused")), TryLater),
        (no_answer(httpx.ConnectTimeout("late")), TryLater),
        (no_answer(httpx.ReadTimeout("late")), OutcomeUnknown),
        (no_answer(httpx.RemoteProtocolError("cut")), OutcomeUnknown),
        (refusal(500), OutcomeUnknown),
        (refusal(502), OutcomeUnknown),
        (refusal(504), OutcomeUnknown),
    ],
    ids=lambda value: value.problem.detail or str(value.status) if isinstance(value, BureauError) else value.__name__,
)
async def test_a_refusal_means_that_nothing_was_sent_and_silence_does_not(
    error: BureauError, kind: type[StepFailed]
) -> None:
    raised = await failure(error)
    assert type(raised) is kind
    if isinstance(raised, TryLater):
        assert raised.retry_after == error.retry_after


async def test_a_result_that_was_cut_fails_the_step() -> None:
    raised = await failure(answer(cut=True))
    assert type(raised) is StepFailed
    assert "too long" in str(raised)
