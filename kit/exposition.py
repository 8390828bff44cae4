"""Prometheus' text format, and who prefers it. https://prometheus.io/docs/instrumenting/exposition_formats/"""

from collections.abc import Mapping

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def prefers_text(accept: str) -> bool:
    """Whether an Accept header ranks text/plain over JSON. Without a preference it is JSON."""
    return _quality(accept, "text", "plain") > _quality(accept, "application", "json")


def labelled(name: str, labels: Mapping[str, str]) -> str:
    """A series: ``name{label="value"}``."""
    text = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items())
    return f"{name}{{{text}}}" if text else name


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
