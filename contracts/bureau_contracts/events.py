"""The typed events that services publish. Every event says its status outright; nobody guesses from text."""

from enum import StrEnum

from bureau_contracts.shapes import Answer, JsonObject, Timestamp


class EventType(StrEnum):
    JOB_TRANSITION = "job.transition"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    STEP_RETRY = "step.retry"
    STEP_PROGRESS = "step.progress"
    STEP_EDITED = "step.edited"
    BREAKPOINT_HIT = "breakpoint.hit"
    BREAKPOINT_RESUMED = "breakpoint.resumed"
    CHILD_ENDED = "child.ended"
    WEBHOOK = "webhook"


class Event(Answer):
    seq: int
    """1, 2, 3 … within its stream: resume by asking for what comes after one."""
    type: EventType
    status: str
    timestamp: Timestamp
    subject: str
    """What it is about, e.g. a job's id."""
    data: JsonObject = {}
    trace_id: str | None = None
