"""Evaluation over HTTP."""

from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.responses import PlainTextResponse

from bureau_contracts.evaluation import MetricsSnapshot, NewMetric, Recorded, RunbookScore, ScoreRunbook
from kit.exposition import MEDIA_TYPE, prefers_text
from kit.web import PrincipalDep, router
from services.evaluation.exposition import exposition
from services.evaluation.service import Evaluation

routes = router("", "evaluation")


def _evaluation(request: Request) -> Evaluation:
    evaluation: Evaluation = request.app.state.evaluation
    return evaluation


EvaluationDep = Annotated[Evaluation, Depends(_evaluation)]


@routes.get(
    "/metrics",
    response_model=MetricsSnapshot,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format when Accept prefers it"}},
)
async def get_metrics(
    principal: PrincipalDep, evaluation: EvaluationDep, accept: Annotated[str, Header()] = ""
) -> MetricsSnapshot | Response:
    """The tenant's metrics: JSON, or Prometheus' text format when Accept prefers text/plain."""
    snapshot = await evaluation.snapshot(principal)
    if prefers_text(accept):
        return PlainTextResponse(exposition(snapshot.metrics), media_type=MEDIA_TYPE)
    return snapshot


@routes.post("/metrics", status_code=201)
async def record_metric(principal: PrincipalDep, evaluation: EvaluationDep, metric: NewMetric) -> Recorded:
    """Adds to one of the tenant's metrics. 429 for one more than the tenant may have."""
    await evaluation.record(principal, metric)
    return Recorded()


@routes.post("/evaluations/runbook")
async def score_runbook(principal: PrincipalDep, evaluation: EvaluationDep, request: ScoreRunbook) -> RunbookScore:
    """Scores a runbook by its words; the formula stands in the service's README."""
    return await evaluation.score_runbook(request)
