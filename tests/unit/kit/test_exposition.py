"""Who is given Prometheus' text format."""

import pytest

from kit.exposition import prefers_text


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("text/plain; version=0.0.4", True),
        ("text/*", True),
        ("TEXT/PLAIN", True),
        ("text/plain;q=0", False),
        ("text/plain;q=0.5, application/json", False),
        ("text/plain, application/json;q=0.5", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/plain;q=nonsense, */*;q=0.1", False),
        ("text/*;q=0.1, */*;q=0.5", False),
        (";;;,,,", False),
    ],
)
def test_who_prefers_text_gets_text(accept: str, text: bool) -> None:
    assert prefers_text(accept) is text
