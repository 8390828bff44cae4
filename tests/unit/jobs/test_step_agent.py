"""An `agent` step is one turn in the job's own session."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from bureau.errors import BureauError, error_of
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import ChatAnswer, TurnStatus
from bureau_contracts.sessions import NewSession, SessionCreated
from bureau_contracts.steps import NewStep, StepKind
from kit.identity import Owner
from services.jobs.step_agent import AgentRunner
from services.jobs.steps import OutcomeUnknown, StepContext, StepFailed, TryLater

STEP = NewStep(name="ask", kind=StepKind.AGENT, message="show my tickets", agent="tickets")


def context(index: int = 1, run: int = 1, title: str = "review") -> StepContext:
    return StepContext(
        "job-01", title, Owner("acme", "ann"), index, attempt=1, run=run, autonomy_level=AutonomyLevel.L1
    )


def error(status: int, retry_after: float | None = None) -> BureauError:
    after = "null" if retry_after is None else retry_after
    body = f'{{"title": "t", "status": {status}, "code": "c", "retry_after": {after}}}'
    return error_of(status or 503, body.encode())


@dataclass
class Neighbours:
    """Sessions and the runtime, as far as an agent step sees them."""

    status: TurnStatus = TurnStatus.COMPLETED
    failure: BureauError | None = None
    sessions: list[NewSession] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)

    async def create(self, session: NewSession | None = None) -> SessionCreated:
        assert session is not None
        assert session.session_id is not None
        if session.session_id in [each.session_id for each in self.sessions]:
            raise error(409)
        self.sessions.append(session)
        return SessionCreated(session_id=session.session_id)

    async def chat(self, message: str, **given: Any) -> ChatAnswer:
        self.turns.append({"message": message} | given)
        if self.failure is not None:
            raise self.failure
        return ChatAnswer(status=self.status, reply="T-1", agents=["tickets"], **_ids(given))


def _ids(given: dict[str, Any]) -> dict[str, str]:
    return {name: given[name] for name in ("session_id", "turn_id")}


async def run(neighbours: Neighbours, step: NewStep = STEP, **given: Any) -> Any:
    return await AgentRunner(neighbours, neighbours).run(step, context(**given))


async def test_a_turn_runs_in_the_jobs_own_session() -> None:
    neighbours = Neighbours()
    result = await run(neighbours)
    assert {
        "reply": "T-1",
        "status": "completed",
        "agents": ["tickets"],
        "session_id": "sess-01",
    }.items() <= result.items()
    assert neighbours.turns == [
        {
            "message": "show my tickets", "session_id": "sess-01", "agent": "tickets",
            "autonomy_level": AutonomyLevel.L1, "turn_id": "turn-01-1", "timeout_seconds": 120,
        }
    ]  # fmt: skip
    (session,) = neighbours.sessions
    assert (session.session_id, session.title, session.autonomy_level) == ("sess-01", "review", AutonomyLevel.L1)


async def test_the_session_is_opened_once() -> None:
    neighbours = Neighbours()
    await run(neighbours)
    await run(neighbours, index=2)
    assert len(neighbours.sessions) == 1
    assert [turn["turn_id"] for turn in neighbours.turns] == ["turn-01-1", "turn-01-2"]


async def test_a_step_may_name_a_session() -> None:
    neighbours = Neighbours()
    await run(neighbours, STEP.model_copy(update={"session_id": "sess-mine"}))
    assert neighbours.sessions == []
    assert neighbours.turns[0]["session_id"] == "sess-mine"


async def test_a_retried_jobs_turn_is_a_new_one() -> None:
    neighbours = Neighbours()
    await run(neighbours, run=2)
    assert neighbours.turns[0]["turn_id"] == "turn-01-1-2"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (error(429, 7), TryLater),
        (error(503, 2), TryLater),
        (error(409, 1), TryLater),
        (error(504), OutcomeUnknown),
        (error(0), OutcomeUnknown),
        (error(409), StepFailed),
        (error(404), StepFailed),
        (error(500), StepFailed),
    ],
    ids=lambda value: str(value.status) if isinstance(value, BureauError) else value.__name__,
)
async def test_a_failure_says_whether_trying_again_helps(failure: BureauError, kind: type[StepFailed]) -> None:
    with pytest.raises(StepFailed) as raised:
        await run(Neighbours(failure=failure))
    assert type(raised.value) is kind
    if isinstance(raised.value, TryLater):
        assert raised.value.retry_after == failure.retry_after


@pytest.mark.parametrize("status", [TurnStatus.ERROR, TurnStatus.NEEDS_CLARIFICATION])
async def test_a_turn_that_did_not_do_its_work_fails_the_step(status: TurnStatus) -> None:
    with pytest.raises(StepFailed, match=f"ended as {status}: T-1"):
        await run(Neighbours(status=status))


async def test_a_long_title_is_cut_for_the_session() -> None:
    neighbours = Neighbours()
    await run(neighbours, title="x" * 400)
    assert len(neighbours.sessions[0].title) == 300
