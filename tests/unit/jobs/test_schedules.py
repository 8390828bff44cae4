"""Ticks of schedules: over changes of the clock in both directions, after an outage, and as jobs' ids."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bureau_contracts.schedules import CatchUp
from services.jobs.schedules import MOST_MADE_UP, BadSchedule, Timing, firing, job_of

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
SCHEDULE = "sched-1"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(timing: Timing, since: str, count: int) -> list[str]:
    """Its ticks as a clock on the wall shows them, with the distance from UTC."""
    zone = ZoneInfo(timing.timezone)
    ticks = islice(timing.after(utc(since)), count)
    return [tick.astimezone(zone).isoformat(timespec="minutes") for tick in ticks]


@pytest.mark.parametrize(
    ("zone", "since", "ticks"),
    [
        (BERLIN, "2026-03-28", ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        (BERLIN, "2026-10-24", ["2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (NEW_YORK, "2026-03-07", ["2026-03-07T02:30-05:00", "2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
    ],
)
def test_a_nightly_schedule_fires_once_in_a_night_in_which_the_clock_changes(
    zone: str, since: str, ticks: list[str]
) -> None:
    assert local(Timing("30 2 * * *", zone), since, 3) == ticks


def test_of_an_hour_that_comes_twice_the_first_counts_for_a_fixed_time() -> None:
    assert local(Timing("30 1 * * *", NEW_YORK), "2026-10-31", 3) == [
        "2026-10-31T01:30-04:00",
        "2026-11-01T01:30-04:00",
        "2026-11-02T01:30-05:00",
    ]


@pytest.mark.parametrize("between", ["2026-10-25T00:45", "2026-10-25T01:10", "2026-10-25T01:59"])
def test_who_looks_during_the_repeated_hour_sees_no_second_tick(between: str) -> None:
    assert local(Timing("30 2 * * *", BERLIN), between, 1) == ["2026-10-26T02:30+01:00"]


@pytest.mark.parametrize(
    ("zone", "since", "hours"),
    [
        (BERLIN, "2026-03-28T23:30", ["01:00+01:00", "03:00+02:00", "04:00+02:00"]),
        (BERLIN, "2026-10-24T23:30", ["02:00+02:00", "02:00+01:00", "03:00+01:00"]),
        (NEW_YORK, "2026-03-08T05:30", ["01:00-05:00", "03:00-04:00", "04:00-04:00"]),
        (NEW_YORK, "2026-11-01T04:30", ["01:00-04:00", "01:00-05:00", "02:00-05:00"]),
    ],
)
def test_an_hourly_schedule_goes_on_evenly_when_the_clock_changes(zone: str, since: str, hours: list[str]) -> None:
    ticks = local(Timing("0 * * * *", zone), since, 3)
    assert [tick[11:] for tick in ticks] == hours


LORD_HOWE = "Australia/Lord_Howe"
"""Its clock changes by half an hour."""


@pytest.mark.parametrize(
    ("cron", "since", "ticks"),
    [
        ("45 * * * *", "2026-10-03T15:00", ["01:45+10:30", "02:45+11:00", "03:45+11:00"]),
        ("45 * * * *", "2026-04-04T14:00", ["01:45+11:00", "01:45+10:30", "02:45+10:30"]),
        ("0 * * * *", "2026-10-03T14:00", ["01:00+10:30", "03:00+11:00", "04:00+11:00"]),
        ("0 * * * *", "2026-04-04T13:30", ["01:00+11:00", "02:00+10:30", "03:00+10:30"]),
        ("*/15 * * * *", "2026-10-03T15:10", ["01:45+10:30", "02:30+11:00", "02:45+11:00"]),
        ("30 2 * * *", "2026-10-03T10:00", ["02:30+11:00", "02:30+11:00", "02:30+11:00"]),
    ],
)
def test_a_clock_that_changes_by_half_an_hour_loses_and_doubles_nothing(
    cron: str, since: str, ticks: list[str]
) -> None:
    assert [tick[11:] for tick in local(Timing(cron, LORD_HOWE), since, 3)] == ticks


def ticks_until(end: datetime, ticks: Iterator[datetime]) -> list[datetime]:
    """Looks on for some days, lest one come late that should have come before."""
    return [tick for tick in takewhile(lambda tick: tick <= end + timedelta(days=4), ticks) if tick <= end]


@settings(max_examples=150, deadline=None)
@given(
    cron=st.sampled_from(["30 2 * * *", "0,30 2 * * *", "59 1,2 * * *", "*/20 * * * *", "0 * * * *", "15 2 * * SUN"]),
    zone=st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "UTC"]),
    change=st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"]),
    minutes=st.integers(-600, 1800),
)
def test_ticks_are_the_same_from_wherever_one_begins_to_count(cron: str, zone: str, change: str, minutes: int) -> None:
    timing, begin = Timing(cron, zone), utc(change) - timedelta(days=8)
    moment = utc(change) + timedelta(minutes=minutes)
    end = moment + timedelta(days=9)
    whole = ticks_until(end, timing.after(begin))
    assert whole == sorted(set(whole))
    assert ticks_until(end, timing.after(moment)) == [tick for tick in whole if tick > moment]
    assert timing.newest(5, begin, moment) == [tick for tick in whole if tick <= moment][-5:]


def test_ticks_that_nobody_tended_are_made_up_for_as_was_said() -> None:
    timing, first, now = Timing("0 * * * *"), utc("2026-05-01T01:00"), utc("2026-05-01T04:30")
    hours = [utc(f"2026-05-01T0{hour}:00") for hour in (1, 2, 3, 4)]
    everything = firing(timing, SCHEDULE, CatchUp.ALL, first, now)
    assert (everything.ticks, everything.dropped, everything.next_tick) == (hours, 0, utc("2026-05-01T05:00"))
    assert firing(timing, SCHEDULE, CatchUp.ONE, first, now).ticks == hours[-1:]
    nothing = firing(timing, SCHEDULE, CatchUp.SKIP, first, now)
    assert (nothing.ticks, nothing.dropped, nothing.next_tick) == ([], 4, utc("2026-05-01T05:00"))


def test_a_tick_that_is_a_moment_late_was_not_missed() -> None:
    first = utc("2026-05-01T01:00")
    found = firing(Timing("0 * * * *"), SCHEDULE, CatchUp.SKIP, first, first + timedelta(seconds=59))
    assert found.ticks == [first]


def test_after_a_long_outage_the_newest_hundred_are_made_up_for() -> None:
    found = firing(Timing("* * * * *"), SCHEDULE, CatchUp.ALL, utc("2020-01-01"), utc("2026-05-01T00:00:30"))
    assert len(found.ticks) == MOST_MADE_UP
    assert found.ticks[-1] == utc("2026-05-01")
    assert found.next_tick == utc("2026-05-01T00:01")


def test_nothing_fires_before_its_moment() -> None:
    first = utc("2026-05-01T01:00")
    found = firing(Timing("0 * * * *"), SCHEDULE, CatchUp.ALL, first, first - timedelta(milliseconds=1))
    assert (found.ticks, found.next_tick) == ([], first)
    assert firing(Timing("0 * * * *"), SCHEDULE, CatchUp.ALL, None, first).ticks == []


@given(seconds=st.integers(0, 5 * 3600))
def test_jitter_delays_each_tick_by_its_own_chance_and_loses_none(seconds: int) -> None:
    timing, first = Timing("0 * * * *", jitter_seconds=3000), utc("2026-05-01T01:00")
    now = first + timedelta(seconds=seconds)
    found = firing(timing, SCHEDULE, CatchUp.ALL, first, now)
    ticks = [first + timedelta(hours=hour) for hour in range(8)]
    assert found.ticks == [tick for tick in ticks if timing.moment(SCHEDULE, tick) <= now]
    assert found.next_tick == ticks[len(found.ticks)]


def test_jitter_stays_within_what_was_said_and_differs_between_schedules() -> None:
    timing, tick = Timing("0 * * * *", jitter_seconds=60), utc("2026-05-01T01:00")
    late = [(timing.moment(f"sched-{n}", tick) - tick).total_seconds() for n in range(200)]
    assert min(late) >= 0
    assert max(late) <= 60
    assert len(set(late)) > 150
    assert timing.moment("sched-1", tick) == timing.moment("sched-1", tick)


def test_a_ticks_job_has_one_id_that_sorts_by_time() -> None:
    first, second = utc("2026-05-01T01:00"), utc("2026-05-01T02:00")
    assert job_of(SCHEDULE, first) == job_of(SCHEDULE, first.astimezone(ZoneInfo(BERLIN)))
    assert job_of(SCHEDULE, first) < job_of(SCHEDULE, second)
    assert job_of("sched-2", first) != job_of(SCHEDULE, first)
    assert re.fullmatch("job-[0-9a-f]{32}", job_of(SCHEDULE, first))


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "* * * * * *", "61 * * * *", "* 24 * * *", "a b c d e", "*/0 * * * *", "5-1 * * * *",
             "0 0 30 2 *", "1#1/2 * * * *", "* * * * 1#6", "* * LW/ * *"],
)  # fmt: skip
def test_an_expression_that_cannot_be_read_is_refused(cron: str) -> None:
    with pytest.raises(BadSchedule) as refused:
        Timing(cron)
    assert refused.value.field == "cron"


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789*,/#-LW MONFEB", max_size=40))
def test_whatever_is_written_is_read_or_refused(cron: str) -> None:
    try:
        Timing(cron, BERLIN).check_from(utc("2026-01-01"))
    except BadSchedule:
        return


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "America", "localtime", "europe/berlin"])
def test_a_time_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(BadSchedule) as refused:
        Timing("0 2 * * *", zone)
    assert refused.value.field == "timezone"


def test_jitter_that_would_mix_up_two_ticks_is_refused() -> None:
    Timing("0 * * * *", jitter_seconds=3599).check_from(utc("2026-05-01"))
    with pytest.raises(BadSchedule, match="3600 s") as refused:
        Timing("0 * * * *", jitter_seconds=3600).check_from(utc("2026-05-01"))
    assert refused.value.field == "jitter_seconds"
