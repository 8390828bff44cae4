"""The evaluation's client: metrics and scores."""

from bureau.http import Caller
from bureau_contracts.evaluation import MetricsSnapshot, NewMetric, Recorded, RunbookScore, ScoreRunbook


class EvaluationClient:
    def __init__(self, caller: Caller) -> None:
        self._call = caller.call

    async def metrics(self) -> MetricsSnapshot:
        return await self._call(MetricsSnapshot, "GET", "/metrics", headers={"accept": "application/json"})

    async def record(self, metric: NewMetric) -> Recorded:
        return await self._call(Recorded, "POST", "/metrics", body=metric)

    async def score_runbook(self, request: ScoreRunbook) -> RunbookScore:
        return await self._call(RunbookScore, "POST", "/evaluations/runbook", body=request, repeatable=True)
