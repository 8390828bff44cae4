"""Contracts of evaluation: metrics, and how well agents and runbooks do."""

from typing import Annotated

from pydantic import Field, StringConstraints

from bureau_contracts.shapes import Answer, Label, Request, Text
from bureau_contracts.steps import NewStep

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,99}$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^_?[a-zA-Z][a-zA-Z0-9_]{0,49}$")]
"""Two leading underscores are Prometheus' own."""


class NewMetric(Request):
    """POST /metrics: add to a counter, or observe a value when `observe` is true (count and sum are then kept)."""

    name: MetricName
    value: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)] = 1
    labels: dict[LabelName, Label] = Field(default_factory=dict, max_length=10)
    observe: bool = False


class Metric(Answer):
    name: str
    labels: dict[str, str]
    value: float
    """Of a counter its total; of observations their sum."""
    count: int
    """How often it was recorded."""
    observed: bool = False
    """True of observations: value / count is then their mean."""


class MetricsSnapshot(Answer):
    metrics: list[Metric]


class Recorded(Answer):
    status: str = "recorded"


class ScoreRunbook(Request):
    """POST /evaluations/runbook."""

    runbook: list[NewStep] | Annotated[Text, StringConstraints(min_length=1)]
    """Steps, or the text of a runbook with one step per line."""
    reference: list[NewStep] | Text | None = None
    forbidden_phrases: list[Label] = Field(default_factory=list, max_length=100)


class RunbookScore(Answer):
    score: float
    """0 … 1; the mean of the parts below that apply."""
    step_count: int
    mean_step_length: float
    """Words per step."""
    forbidden_found: list[str]
    similarity: float | None = None
    """0 … 1 to the reference, None without one."""
    details: dict[str, float]
