"""Metrics as Prometheus' text."""

import pytest

from bureau_contracts.evaluation import Metric
from services.evaluation.exposition import exposition


def test_counters_and_observations_are_written_as_prometheus_reads_them() -> None:
    metrics = [
        Metric(name="turn_seconds", labels={"agent": "tickets"}, value=2.5, count=2, observed=True),
        Metric(name="turns", labels={}, value=3, count=3),
        Metric(name="turns", labels={"agent": "tickets", "status": "ok"}, value=1e21, count=1),
    ]
    assert exposition(metrics) == (
        "# TYPE turn_seconds summary\n"
        'turn_seconds_sum{agent="tickets"} 2.5\n'
        'turn_seconds_count{agent="tickets"} 2\n'
        "# TYPE turns counter\n"
        "turns 3.0\n"
        'turns{agent="tickets",status="ok"} 1e+21\n'
    )


def test_nothing_recorded_is_an_empty_page() -> None:
    assert exposition([]) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('say "hi"', r"say \"hi\""),
        ("C:\\dir", r"C:\\dir"),
        ("two\nlines", r"two\nlines"),
        ('\\"\n', r"\\\"\n"),
        ("} evil 1", "} evil 1"),
        ("größe ☃", "größe ☃"),
    ],
)
def test_a_label_value_cannot_leave_its_quotes(value: str, written: str) -> None:
    metric = Metric(name="m", labels={"label": value}, value=1, count=1)
    assert exposition([metric]) == f'# TYPE m counter\nm{{label="{written}"}} 1.0\n'
