"""The two ports onto schedules: `ScheduleStore` for the API, `DueSchedules` for whoever tends them. When ticks are is
said by schedules.py."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel

from bureau_contracts.jobs import StartJob
from bureau_contracts.schedules import CatchUp, Overlap
from kit.identity import Owner, Reach
from services.jobs.schedules import Timing
from services.jobs.store import NewJob, Started

RECENT = 10
"""Jobs of a schedule that it remembers. The ones of them that have not ended are what a tick may overlap with."""
MOST_WAITING = 100
"""Ticks of a schedule that wait for an earlier job's end; further ones are skipped."""


class Definition(BaseModel):
    """What a caller said of a schedule; stores keep it as JSON."""

    title: str
    cron: str
    timezone: str
    job: StartJob
    enabled: bool
    overlap: Overlap
    catch_up: CatchUp
    jitter_seconds: float

    def timing(self) -> Timing:
        """Raises BadSchedule."""
        return Timing(self.cron, self.timezone, self.jitter_seconds)


@dataclass(frozen=True)
class Due:
    """When the store is to show a schedule to its tenders again. Both None: never, it is paused or at its end."""

    tick: datetime | None = None
    at: datetime | None = None
    """The tick with its jitter."""

    @classmethod
    def on(cls, timing: Timing, schedule_id: str, tick: datetime | None) -> "Due":
        return cls(tick, timing.moment(schedule_id, tick)) if tick else cls()


@dataclass(frozen=True)
class ScheduleRecord:
    schedule_id: str
    owner: Owner
    definition: Definition
    version: int
    """One more with every change and every firing: what is said about an older one is refused."""
    due: Due
    created_at: datetime
    last_update: datetime
    last_tick: datetime | None = None
    waiting: tuple[datetime, ...] = ()
    started: int = 0
    skipped: int = 0
    job_ids: tuple[str, ...] = ()

    def with_definition(self, definition: Definition, due: Due) -> "ScheduleRecord":
        return replace(self, definition=definition, due=due)


@dataclass(frozen=True)
class DueSchedule:
    """A schedule whose moment has come, as its tenders see it."""

    schedule_id: str
    owner: Owner
    definition: str
    """As JSON: what a newer program wrote must not keep an older one from tending the others."""
    version: int
    tick: datetime | None
    waiting: tuple[datetime, ...]


@dataclass(frozen=True)
class DueBatch:
    now: datetime
    """The store's time."""
    schedules: list[DueSchedule]


@dataclass(frozen=True)
class Fire:
    """What shall happen to a due schedule."""

    ticks: list[tuple[datetime, str]]
    """Each with its job's id, in order."""
    job: NewJob | None
    """What they start, whatever its id; None when there is no tick."""
    overlap: Overlap
    due: Due
    dropped: int = 0


class ScheduleStore(Protocol):
    """Schedules, as their owners see and steer them.

    Promises: what a call acknowledged is kept; a schedule outside of `reach` does not exist: ScheduleNotFound. Any call
    raises StoreAway while the store does not answer.
    """

    async def now(self) -> datetime:
        """The store's time: it alone says what is due, so that clocks of many machines need not agree."""

    async def add(self, schedule: ScheduleRecord, limit: int) -> None:
        """Raises TooManySchedules when the tenant has `limit` of them."""

    async def get(self, reach: Reach, schedule_id: str) -> ScheduleRecord:
        """Raises ScheduleNotFound."""

    async def page(self, reach: Reach, *, limit: int, after: str | None) -> list[ScheduleRecord]:
        """Newest first, those before the schedule `after`."""

    async def change(self, schedule: ScheduleRecord) -> bool:
        """Replaces definition and due moment, and forgets the ticks that wait when it is not enabled. False, and
        nothing done, when it is no longer of this version. Raises ScheduleNotFound."""

    async def remove(self, reach: Reach, schedule_id: str) -> None:
        """Its jobs stay. Raises ScheduleNotFound."""

    async def run(self, reach: Reach, schedule_id: str, job: NewJob) -> Started:
        """Starts the job as one of the schedule's, whatever else of it is under way. As `JobStore.start`; raises
        ScheduleNotFound."""


class DueSchedules(Protocol):
    """Schedules, as any number of tenders fire them at once.

    Promises: each tick has at most one job, because deciding, starting and moving on to the next tick are one atomic
    step that is made only under the version that was read; a tick's job id exists once.
    """

    async def due(self) -> DueBatch:
        """Those whose moment has come, or that have waiting ticks and no job under way; a bounded number, oldest
        first."""

    async def fire(self, schedule: DueSchedule, fire: Fire) -> int:
        """Starts a job for each tick, as its overlap allows, and sets the next moment. How many it started; -1, and
        nothing done, when somebody else was first."""
