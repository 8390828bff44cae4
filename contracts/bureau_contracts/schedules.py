"""Contracts of schedules: jobs that start when a clock says so."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from bureau_contracts.jobs import StartJob
from bureau_contracts.shapes import Answer, Label, Request, Timestamp

ScheduleId = Annotated[str, StringConstraints(pattern=r"^sched-[0-9a-z-]{1,64}$")]
CronText = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z*,/#\- ]{1,200}$")]
TimeZoneName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$")]


class Overlap(StrEnum):
    """What becomes of a tick while an earlier job of its schedule has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    """It waits until that job has ended; at most a hundred do."""
    REPLACE = "replace"
    """That job is cancelled."""


class CatchUp(StrEnum):
    """What becomes of ticks that passed while no worker ran."""

    SKIP = "skip"
    ONE = "one"
    """The newest is made up for."""
    ALL = "all"
    """Each is made up for; at most the newest hundred."""


class NewSchedule(Request):
    """POST /jobs/schedules. Its jobs are those of `job.user_id`, or of the caller."""

    title: Label
    cron: CronText
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: TimeZoneName = "UTC"
    """IANA name: ``Europe/Berlin``."""
    job: StartJob
    """What every tick starts."""
    enabled: bool = True
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONE
    jitter_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 0
    """A tick is due up to so much later, by chance; less than the time between two ticks."""


class ChangeSchedule(Request):
    """PATCH /jobs/schedules/{id}: what is not named stays as it is. ``{"enabled": false}`` pauses."""

    title: Label | None = None
    cron: CronText | None = None
    timezone: TimeZoneName | None = None
    job: StartJob | None = None
    enabled: bool | None = None
    overlap: Overlap | None = None
    catch_up: CatchUp | None = None
    jitter_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None


class Schedule(Answer):
    schedule_id: str
    title: str
    tenant: str
    owner: str
    cron: str
    timezone: str
    job: StartJob
    enabled: bool
    overlap: Overlap
    catch_up: CatchUp
    jitter_seconds: float
    next_ticks: list[Timestamp]
    """The next five; none while it is paused."""
    next_at: Timestamp | None
    """When the first of them is due, with its jitter."""
    last_tick: Timestamp | None
    """The newest that was started."""
    waiting: list[Timestamp]
    """Ticks that wait until an earlier job has ended (`overlap: queue`)."""
    started: int
    """Ticks that got a job."""
    skipped: int
    """Ticks that got none: missed, or overlapping."""
    job_ids: list[str]
    """The newest ten of its jobs, newest first."""
    created_at: Timestamp
    last_update: Timestamp


class ScheduleDeleted(Answer):
    schedule_id: str


class SchedulePage(Answer):
    schedules: list[Schedule]
    next_cursor: str | None = None
