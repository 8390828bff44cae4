"""The metrics store in memory: a real fake for tests. It forgets everything when it ends."""

from dataclasses import dataclass

from bureau_contracts.evaluation import Metric
from kit.errors import Unavailable
from services.evaluation.store import MetricKindDiffers, Series, TooManySeries


@dataclass
class _Total:
    value: float = 0.0
    count: int = 0


class MemoryStore:
    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._tenants: dict[str, dict[Series, _Total]] = {}
        self.away = False
        """True makes every call fail, as when Redis is down."""

    async def add(self, tenant: str, series: Series, value: float) -> None:
        await self.ping()
        totals = self._tenants.setdefault(tenant, {})
        if any(other.name == series.name and other.observed != series.observed for other in totals):
            raise MetricKindDiffers(f"{series.name} was recorded before with observe={not series.observed}")
        if series not in totals and len(totals) >= self._max_series:
            raise TooManySeries(f"there are {self._max_series} metrics already: use fewer labels, or fewer values")
        total = totals.setdefault(series, _Total())
        total.value += value
        total.count += 1

    async def all(self, tenant: str) -> list[Metric]:
        await self.ping()
        totals = sorted(self._tenants.get(tenant, {}).items(), key=lambda item: (item[0].name, item[0].labels))
        return [
            Metric(
                name=series.name,
                labels=dict(series.labels),
                value=total.value,
                count=total.count,
                observed=series.observed,
            )
            for series, total in totals
        ]

    async def ping(self) -> str:
        if self.away:
            raise Unavailable("the metrics store is away")
        return ""
