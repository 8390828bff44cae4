"""The port of the metrics store."""

from dataclasses import dataclass
from typing import Protocol

from bureau_contracts.evaluation import Metric
from kit.errors import Conflict, TooMany


class MetricKindDiffers(Conflict):
    code = "metric_kind_differs"


class TooManySeries(TooMany):
    code = "too_many_series"


@dataclass(frozen=True)
class Series:
    """One metric with one combination of labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    """By label name."""
    observed: bool
    """An observation (count and sum) rather than a counter."""


class MetricsStore(Protocol):
    """Adds numbers up, per tenant.

    - A tenant's metrics are its own: nobody else adds to them, reads them or uses up its limit.
    - Records that arrive together are all counted.
    - A metric is a counter or an observation, whichever it was recorded as first.
    - A store that is away is Unavailable; nothing was recorded then, as far as anybody knows.
    """

    async def add(self, tenant: str, series: Series, value: float) -> None:
        """Raises TooManySeries when this would be one too many, MetricKindDiffers when the name is of another kind."""

    async def all(self, tenant: str) -> list[Metric]:
        """By name, then by labels."""

    async def ping(self) -> str:
        """For `/health`: raises when the store is away."""
