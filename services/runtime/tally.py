"""Counts turns for the evaluation, beside the turns: nothing waits for it, and what it cannot send is dropped."""

import asyncio

from bureau.errors import BureauError
from bureau_contracts.evaluation import NewMetric
from bureau_contracts.runtime import TurnStatus
from kit.identity import Principal, acting_as
from kit.logs import get_logger
from services.runtime.ports import Metrics

log = get_logger(__name__)

WAITING_METRICS = 1000


class Tally:
    """`turn` puts metrics on a short list; `send`, run in the background, empties it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: asyncio.Queue[tuple[Principal, NewMetric]] = asyncio.Queue(WAITING_METRICS)
        self._away = False

    def turn(self, principal: Principal, *, agent: str, status: TurnStatus, seconds: float) -> None:
        labels = {"agent": agent or "none"}
        self._put(principal, NewMetric(name="turns_total", labels={**labels, "status": status.value}))
        self._put(principal, NewMetric(name="turn_seconds", value=seconds, labels=labels, observe=True))

    async def send(self) -> None:
        """Runs for ever."""
        while True:
            principal, metric = await self._waiting.get()
            try:
                with acting_as(principal):
                    await self._metrics.record(metric)
                self._away = False
            except BureauError as error:
                if not self._away:
                    log.warning("metrics_away", code=error.code)
                self._away = True

    def _put(self, principal: Principal, metric: NewMetric) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait((principal, metric))
