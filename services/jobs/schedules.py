"""When a schedule fires: ticks of a cron expression in a time zone, what is due of them, and what a tick's job is
called. Pure functions of moments; knows no store, no clock and no job.

A cron expression has five fields, as Debian's cron reads them (`cronsim`). When the clocks change:

- With a fixed minute and hour ("30 2 * * *") there is one tick on every day: one that falls into the hour that is left
  out comes with the first minute after it; of an hour that comes twice, the first counts.
- With a minute or hour that starts with a star ("*/15 * * * *", "0 * * * *") time goes on evenly: nothing is made up
  for the hour that is left out, and an hour that comes twice has its ticks twice.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from bureau_contracts.schedules import CatchUp

FIELDS = 5
MISSED_SECONDS = 60.0
"""A tick that nobody tended for so long counts as missed: only `catch_up` says whether it is made up for."""
MOST_MADE_UP = 100
"""Missed ticks that `catch_up: all` makes up for: the newest."""
GAPS_LOOKED_AT = 50
AROUND_A_CHANGE = timedelta(hours=2)
"""How far from a change of the clocks cronsim may step over a tick."""
_MACHINES_OWN = {"localtime", "Factory"}
"""Zones that are another one on each machine, or none."""


class BadSchedule(ValueError):
    """`field` is what is wrong: cron, timezone or jitter_seconds."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True)
class Timing:
    """When to fire. Checked where it is made: raises BadSchedule."""

    cron: str
    timezone: str = "UTC"
    jitter_seconds: float = 0

    def __post_init__(self) -> None:
        if self.timezone not in _zones():
            raise BadSchedule("timezone", f"there is no time zone {self.timezone!r}; an IANA name is Europe/Berlin")
        if len(self.cron.split()) != FIELDS:
            raise BadSchedule("cron", "five fields are needed: minute, hour, day of month, month, day of week")
        try:
            CronSim(self.cron, datetime.now(UTC))
        except (CronSimError, AssertionError) as error:
            raise BadSchedule("cron", str(error) or "cannot be read") from error

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Its ticks after `moment`, in order, as UTC. Ends when none comes within fifty years."""
        latest = moment
        # In the second of two equal hours cronsim would begin with ticks of the first.
        for tick in CronSim(self.cron, moment.astimezone(ZoneInfo(self.timezone))):
            tick = tick.astimezone(UTC)
            if tick > latest:
                yield from self._left_out(latest, tick)
                latest = tick
                yield tick

    def _left_out(self, earlier: datetime, later: datetime) -> Iterator[datetime]:
        """Ticks between two of cronsim's that it has stepped over: it goes by whole hours, and some clocks change by
        half of one (Australia/Lord_Howe)."""
        zone = ZoneInfo(self.timezone)
        shift = _offset(later, zone) - _offset(earlier, zone)
        if not shift % timedelta(hours=1) or not _goes_on_evenly(self.cron):
            return
        change = _change(earlier, later, zone)
        minute = max(earlier, change - AROUND_A_CHANGE).replace(second=0, microsecond=0)
        end = min(later, change + AROUND_A_CHANGE)
        while (minute := minute + timedelta(minutes=1)) < end:
            # As if it were UTC, where no clock changes.
            shown = minute.astimezone(zone).replace(tzinfo=UTC)
            if minute > earlier and next(CronSim(self.cron, shown - timedelta(minutes=1)), None) == shown:
                yield minute

    def next(self, moment: datetime) -> datetime | None:
        """The first tick after `moment`."""
        return next(self.after(moment), None)

    def newest(self, count: int, since: datetime, now: datetime) -> list[datetime]:
        """Of the ticks after `since`, up to `now`, the newest `count`, in order. Looks back no further than it must."""
        span = timedelta(minutes=count)
        while True:
            start = max(since, now - span)
            found = deque(self._until(start, now), maxlen=count)
            if len(found) == count or start == since:
                return list(found)
            span *= 2

    def _until(self, start: datetime, now: datetime) -> Iterator[datetime]:
        for tick in self.after(start):
            if tick > now:
                return
            yield tick

    def check_from(self, now: datetime) -> None:
        """Raises BadSchedule when it never fires, or when its jitter would mix up two ticks."""
        ticks = list(islice(self.after(now), GAPS_LOOKED_AT if self.jitter_seconds else 1))
        if not ticks:
            raise BadSchedule("cron", "fires never")
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(ticks)]
        if gaps and self.jitter_seconds >= min(gaps):
            raise BadSchedule("jitter_seconds", f"must be less than the {min(gaps):g} s between two ticks")

    def moment(self, schedule_id: str, tick: datetime) -> datetime:
        """When the tick is due: up to `jitter_seconds` later, by chance, but the same for whoever asks."""
        chance = int.from_bytes(_digest(schedule_id, tick)[:6]) / 2**48
        return tick + timedelta(milliseconds=round(chance * self.jitter_seconds * 1000))


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _goes_on_evenly(cron: str) -> bool:
    """Minute or hour begins with a star; see above."""
    minute, hour, *_ = cron.split()
    return minute.startswith("*") or hour.startswith("*")


def _change(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """When the offset between them changes to what it is later, to the minute."""
    after = _offset(later, zone)
    while later - earlier > timedelta(minutes=1):
        middle = earlier + (later - earlier) / 2
        earlier, later = (earlier, middle) if _offset(middle, zone) == after else (middle, later)
    return later


@dataclass(frozen=True)
class Firing:
    """What is to be done now about a schedule."""

    ticks: list[datetime]
    """That get a job each, in order."""
    dropped: int
    """Ticks that were looked at and get none; those before the newest hundred are not counted."""
    next_tick: datetime | None


def firing(timing: Timing, schedule_id: str, catch_up: CatchUp, tick: datetime | None, now: datetime) -> Firing:
    """`tick` is the schedule's next one, which may be long past; None when it has no more."""
    if tick is None or timing.moment(schedule_id, tick) > now:
        return Firing([], 0, tick)
    due = timing.newest(MOST_MADE_UP, tick - timedelta(seconds=1), now)
    if due and timing.moment(schedule_id, due[-1]) > now:
        due.pop()
    # A tick that is no longer in the expression's reckoning, as after new data about the zone: it was promised.
    due = due or [tick]
    made_up = _made_up(due, catch_up, timing, schedule_id, now)
    return Firing(made_up, len(due) - len(made_up), timing.next(due[-1]))


def _made_up(due: list[datetime], catch_up: CatchUp, timing: Timing, schedule_id: str, now: datetime) -> list[datetime]:
    if catch_up is CatchUp.ALL:
        return due
    newest = due[-1]
    late = (now - timing.moment(schedule_id, newest)).total_seconds()
    return [newest] if catch_up is CatchUp.ONE or late < MISSED_SECONDS else []


def job_of(schedule_id: str, tick: datetime) -> str:
    """The id of the tick's job: the same whoever starts it, which is why there is only one. Sorts by the tick's time
    among the ids of other jobs (it has the shape of a UUIDv7)."""
    milliseconds = round(tick.timestamp() * 1000)
    return f"job-{milliseconds:012x}7{_digest(schedule_id, tick).hex()[:19]}"


def _digest(schedule_id: str, tick: datetime) -> bytes:
    return hashlib.sha256(f"{schedule_id}@{round(tick.timestamp() * 1000)}".encode()).digest()


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _MACHINES_OWN)
