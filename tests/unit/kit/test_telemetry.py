"""Trace context: continued when valid, begun when not, and free of spans without an exporter."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit import telemetry
from kit.telemetry import Telemetry, current_trace, current_trace_id, outgoing_headers, parse_traceparent, span

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_valid_traceparent_is_continued() -> None:
    with Telemetry("t").continue_trace(f"00-{TRACE}-{SPAN}-01", "vendor=1", "GET /") as trace:
        assert trace.trace_id == TRACE
        assert trace.span_id != SPAN
        assert outgoing_headers() == {"traceparent": f"00-{TRACE}-{trace.span_id}-01", "tracestate": "vendor=1"}
    assert current_trace() is None
    assert outgoing_headers() == {}


@pytest.mark.parametrize(
    "header",
    [
        "", "x", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)  # fmt: skip
def test_an_invalid_traceparent_begins_a_new_trace(header: str) -> None:
    assert parse_traceparent(header) is None
    with Telemetry("t").continue_trace(header, "", "GET /") as trace:
        assert trace.trace_id not in (TRACE, "0" * 32)
        assert current_trace_id() == trace.trace_id


def test_a_later_version_of_the_header_is_understood() -> None:
    trace = parse_traceparent(f"01-{TRACE}-{SPAN}-01-future")
    assert trace is not None
    assert trace.sampled


def test_without_an_exporter_a_part_has_no_span_of_its_own() -> None:
    with Telemetry("t").continue_trace("", "", "GET /") as trace, span("part"):
        assert current_trace() == trace


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_otlp_provider", lambda service, endpoint: provider)
    return exporter


def test_with_an_exporter_spans_are_nested_under_the_callers(exporter: InMemorySpanExporter) -> None:
    recording = Telemetry("t", "http://collector")
    with recording.continue_trace(f"00-{TRACE}-{SPAN}-01", "", "GET /"), span("part", {"size": 3}):
        inner = outgoing_headers()["traceparent"].split("-")[2]
    part, server = exporter.get_finished_spans()
    assert part.context is not None
    assert server.context is not None
    assert part.parent is not None
    assert server.parent is not None
    assert f"{server.context.trace_id:032x}" == TRACE
    assert f"{server.parent.span_id:016x}" == SPAN
    assert part.parent.span_id == server.context.span_id
    assert f"{part.context.span_id:016x}" == inner
    assert dict(part.attributes or {}) == {"size": 3}


def test_what_the_caller_does_not_record_is_not_recorded(exporter: InMemorySpanExporter) -> None:
    with Telemetry("t", "http://collector").continue_trace(f"00-{TRACE}-{SPAN}-00", "", "GET /"), span("part"):
        pass
    assert exporter.get_finished_spans() == ()


def test_the_share_of_recorded_traces_is_kept(exporter: InMemorySpanExporter) -> None:
    with Telemetry("t", "http://collector", sample_ratio=0.0).continue_trace("", "", "GET /") as trace:
        assert not trace.sampled
    assert exporter.get_finished_spans() == ()


def test_a_failure_is_marked_and_goes_on(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), Telemetry("t", "http://collector").continue_trace("", "", "GET /"):
        raise KeyError("x")
    (server,) = exporter.get_finished_spans()
    assert (server.attributes or {})["error.type"] == "KeyError"
