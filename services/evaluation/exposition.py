"""The tenant's metrics as Prometheus' text format."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bureau_contracts.evaluation import Metric
from kit.exposition import labelled


def exposition(metrics: Sequence[Metric]) -> str:
    """Counters under their name, observations as a summary without quantiles. `metrics` come ordered by name."""
    return "".join(f"{line}\n" for line in _lines(metrics))


def _lines(metrics: Sequence[Metric]) -> Iterator[str]:
    for name, group in groupby(metrics, key=lambda metric: metric.name):
        series = list(group)
        yield f"# TYPE {name} {'summary' if series[0].observed else 'counter'}"
        for metric in series:
            if metric.observed:
                yield f"{labelled(f'{name}_sum', metric.labels)} {metric.value!r}"
                yield f"{labelled(f'{name}_count', metric.labels)} {metric.count}"
            else:
                yield f"{labelled(name, metric.labels)} {metric.value!r}"
