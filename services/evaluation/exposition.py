"""Metrics as Prometheus' text format, and who prefers it. https://prometheus.io/docs/instrumenting/exposition_formats/"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from bureau_contracts.evaluation import Metric

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def prefers_text(accept: str) -> bool:
    """Whether an Accept header ranks text/plain over JSON. Without a preference it is JSON."""
    return _quality(accept, "text", "plain") > _quality(accept, "application", "json")


def exposition(metrics: Sequence[Metric]) -> str:
    """Counters under their name, observations as a summary without quantiles. `metrics` come ordered by name."""
    return "".join(f"{line}\n" for line in _lines(metrics))


def _lines(metrics: Sequence[Metric]) -> Iterator[str]:
    for name, group in groupby(metrics, key=lambda metric: metric.name):
        series = list(group)
        yield f"# TYPE {name} {'summary' if series[0].observed else 'counter'}"
        for metric in series:
            labels = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in metric.labels.items())
            labels = f"{{{labels}}}" if labels else ""
            if metric.observed:
                yield f"{name}_sum{labels} {metric.value!r}"
                yield f"{name}_count{labels} {metric.count}"
            else:
                yield f"{name}{labels} {metric.value!r}"


def _quality(accept: str, kind: str, subtype: str) -> float:
    """The weight of a media type: the most exact range that covers it decides (RFC 9110, 12.5.1)."""
    best, exactness = 0.0, -1
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges = [f"{kind}/{subtype}", f"{kind}/*", "*/*"]
        if media in ranges and 2 - ranges.index(media) > exactness:
            exactness = 2 - ranges.index(media)
            best = next((_weight(each) for each in parameters if each.startswith("q=")), 1.0)
    return best


def _weight(parameter: str) -> float:
    try:
        return min(1.0, max(0.0, float(parameter.removeprefix("q="))))
    except ValueError:
        return 0.0
