"""Evaluation's rules: whose metric is recorded, and what a runbook is worth."""

import asyncio

from bureau_contracts.evaluation import MetricsSnapshot, NewMetric, RunbookScore, ScoreRunbook
from kit.identity import Principal
from services.evaluation.runbook_score import score_runbook
from services.evaluation.store import MetricsStore, Series


class Evaluation:
    """Metrics belong to a tenant: all its members record and see the same ones."""

    def __init__(self, store: MetricsStore) -> None:
        self._store = store

    async def record(self, principal: Principal, metric: NewMetric) -> None:
        series = Series(metric.name, tuple(sorted(metric.labels.items())), metric.observe)
        await self._store.add(principal.tenant, series, metric.value)

    async def snapshot(self, principal: Principal) -> MetricsSnapshot:
        return MetricsSnapshot(metrics=await self._store.all(principal.tenant))

    async def score_runbook(self, request: ScoreRunbook) -> RunbookScore:
        return await asyncio.to_thread(score_runbook, request)
