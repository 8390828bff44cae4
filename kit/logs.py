"""Structured logs: one JSON line per event on stdout, with the trace ID of the request it belongs to."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from kit.telemetry import current_trace


def get_logger(name: str) -> FilteringBoundLogger:
    """``log.info("agent_registered", agent=name)``: the event is a constant, the values are fields."""
    return cast(FilteringBoundLogger, structlog.get_logger(module=name))


def configure_logs(service: str, *, level: str = "info", form: str = "json") -> None:
    """Called once, by the process's entry point."""

    def add_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        add_service,
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=repr)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=max(number, logging.WARNING), force=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a process's stdout is a TextIOWrapper


class _ToStructlog(logging.Handler):
    """What libraries log with the standard module comes out in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(record.name)
        report = log.error if record.levelno >= logging.ERROR else log.warning
        report("library_message", message=record.getMessage(), exc_info=record.exc_info)


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace = current_trace()
    if trace is not None:
        event["trace_id"] = trace.trace_id
        event["span_id"] = trace.span_id
    return event
