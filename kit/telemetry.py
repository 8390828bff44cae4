"""Where a request belongs: W3C trace context in and out, and OpenTelemetry spans when an exporter is set.

Without an exporter no span is made and OpenTelemetry is not even imported: a trace is then two identifiers.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Trace:
    """One place in a trace: 32 and 16 hexadecimal digits, as in a `traceparent`."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""
    """`tracestate`, passed on unread."""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)
_tracer: ContextVar["Tracer | None"] = ContextVar("tracer", default=None)


def current_trace() -> Trace | None:
    return _current.get()


def current_trace_id() -> str:
    """The trace ID of the request that is being answered, "" outside of one."""
    trace = _current.get()
    return trace.trace_id if trace else ""


def parse_traceparent(header: str, state: str = "") -> Trace | None:
    """None when the header is not a valid `traceparent`; a new trace is begun then."""
    match = _TRACEPARENT.match(header)
    if match is None or (header.startswith("00") and match[4]):
        return None
    return Trace(match[1], match[2], sampled=bool(int(match[3], 16) & 1), state=state[:512])


def outgoing_headers() -> dict[str, str]:
    """What a call to another machine carries, so that it continues this trace."""
    trace = _current.get()
    if trace is None:
        return {}
    return {"traceparent": trace.traceparent, **({"tracestate": trace.state} if trace.state else {})}


class SpanKind(Enum):
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    INTERNAL = "INTERNAL"


class Telemetry:
    """A process's tracing. Does nothing but pass identifiers on unless an endpoint is given."""

    def __init__(self, service: str, endpoint: str = "", sample_ratio: float = 1.0) -> None:
        self._ratio = sample_ratio
        self._provider = _otlp_provider(service, endpoint) if endpoint else None
        self._tracer = self._provider.get_tracer("bureau") if self._provider else None

    @contextmanager
    def continue_trace(self, traceparent: str, tracestate: str, name: str) -> Iterator[Trace]:
        """The server's side of a call: continues the caller's trace or begins one, with a span when recorded."""
        parent = parse_traceparent(traceparent, tracestate) if traceparent else None
        if parent is None:
            trace_id = secrets.token_hex(16)
            parent = Trace(trace_id, "", sampled=self._tracer is not None and self._sampled(trace_id))
        undo_tracer = _tracer.set(self._tracer)
        try:
            with _enter(parent, name, SpanKind.SERVER, {}):
                yield _here()
        finally:
            _tracer.reset(undo_tracer)

    def close(self) -> None:
        """Sends what is still waiting to be exported; blocks for a few seconds at most."""
        if self._provider:
            self._provider.shutdown()

    def _sampled(self, trace_id: str) -> bool:
        return int(trace_id[16:], 16) < self._ratio * 2**64


@contextmanager
def span(name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[None]:
    """Measures a part of the current request. Free when the trace is not recorded."""
    parent = _current.get()
    if parent is None or _tracer.get() is None or not parent.sampled:
        yield
        return
    with _enter(parent, name, kind, attributes or {}):
        yield


def annotate(attributes: Attributes) -> None:
    """Adds attributes to the current span, when there is one."""
    active = _span.get()
    if active is not None:
        active.set_attributes(dict(attributes))


_span: ContextVar["Span | None"] = ContextVar("span", default=None)


@contextmanager
def _enter(parent: Trace, name: str, kind: SpanKind, attributes: Attributes) -> Iterator[None]:
    tracer = _tracer.get()
    if tracer is None or not parent.sampled:
        here, active = replace(parent, span_id=secrets.token_hex(8)), None
    else:
        active = _start_span(tracer, parent, name, kind, attributes)
        context = active.get_span_context()
        here = replace(parent, trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}")
    undo, undo_span = _current.set(here), _span.set(active)
    try:
        yield
    except BaseException as error:
        if active is not None:
            active.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        _current.reset(undo)
        _span.reset(undo_span)
        if active is not None:
            active.end()


def _here() -> Trace:
    trace = _current.get()
    assert trace is not None
    return trace


def _start_span(tracer: "Tracer", parent: Trace, name: str, kind: SpanKind, attributes: Attributes) -> "Span":
    from opentelemetry import trace as otel

    context = None
    if parent.span_id:
        remote = otel.SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, otel.TraceFlags(1))
        context = otel.set_span_in_context(otel.NonRecordingSpan(remote))
    return tracer.start_span(name, context=context, kind=otel.SpanKind[kind.value], attributes=dict(attributes))


def _otlp_provider(service: str, endpoint: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")))
    return provider
