"""`bureau jobs schedules`: jobs that start when a clock says so."""

from pathlib import Path
from typing import Annotated

import typer

from bureau.cli.job_arguments import AsJson
from bureau.cli.terminal import console, fail, run, show, table
from bureau.runbooks import BadRunbook, read_runbook
from bureau_contracts.schedules import CatchUp, NewSchedule, Overlap, Schedule

commands = typer.Typer(help="Jobs that start when a clock says so.", no_args_is_help=True)

ScheduleId = Annotated[str, typer.Argument(help="The schedule's id (sched-…).")]


@commands.command("list")
def list_schedules(limit: Annotated[int, typer.Option(min=1, max=200)] = 50, as_json: AsJson = False) -> None:
    """The newest schedules."""
    page = run(lambda bureau: bureau.jobs.schedules.page(limit=limit))
    rows = [
        (s.schedule_id, s.owner, s.title, s.cron, s.timezone, _next(s), s.started, s.skipped) for s in page.schedules
    ]
    columns = ("schedule", "owner", "title", "cron", "zone", "next", "started", "skipped")
    show(page, as_json=as_json, table=lambda: table(columns, rows))


@commands.command("show")
def show_schedule(schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """When it fires next, and the jobs that it started."""
    schedule = run(lambda bureau: bureau.jobs.schedules.get(schedule_id))
    rows = [("next", tick.isoformat(timespec="minutes")) for tick in schedule.next_ticks]
    rows += [("waits", tick.isoformat(timespec="minutes")) for tick in schedule.waiting]
    rows += [("started", job_id) for job_id in schedule.job_ids]
    title = f"{schedule.title}: {schedule.cron} {schedule.timezone}, {'on' if schedule.enabled else 'paused'}"
    show(schedule, as_json=as_json, table=lambda: table(("", "tick or job"), rows, title=title))


@commands.command()
def add(
    file: Annotated[Path, typer.Argument(help="A runbook: YAML or JSON.", exists=True, dir_okay=False)],
    cron: Annotated[str, typer.Option(help="Minute, hour, day of month, month, day of week: '30 2 * * *'.")],
    assignments: Annotated[list[str] | None, typer.Option("--set", help="A parameter: name=value. Repeat it.")] = None,
    timezone: Annotated[str, typer.Option(help="IANA name of a time zone: Europe/Berlin.")] = "UTC",
    title: Annotated[str | None, typer.Option(help="The job's, when not given.")] = None,
    overlap: Annotated[Overlap, typer.Option(help="When an earlier job has not ended.")] = Overlap.SKIP,
    catch_up: Annotated[CatchUp, typer.Option(help="Ticks that passed while no worker ran.")] = CatchUp.ONE,
    jitter: Annotated[float, typer.Option(help="Seconds that a tick may be late, by chance.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Start the job that a runbook describes again and again."""
    try:
        book = read_runbook(file)
        job = book.job(book.parse(assignments or ()))
        wanted = NewSchedule(
            title=title or job.title, cron=cron, timezone=timezone, job=job, overlap=overlap, catch_up=catch_up,
            jitter_seconds=jitter,
        )  # fmt: skip
    except (BadRunbook, ValueError) as error:
        fail(str(error))
    _show(run(lambda bureau: bureau.jobs.schedules.add(wanted)), as_json=as_json)


@commands.command()
def pause(schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Fire no more; ticks that pass meanwhile are not made up for."""
    _show(run(lambda bureau: bureau.jobs.schedules.pause(schedule_id)), as_json=as_json)


@commands.command()
def resume(schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Fire again, from the next tick on."""
    _show(run(lambda bureau: bureau.jobs.schedules.resume(schedule_id)), as_json=as_json)


@commands.command("run")
def run_now(
    schedule_id: ScheduleId,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key starts the job once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start its job now, also while it is paused."""
    started = run(lambda bureau: bureau.jobs.schedules.run(schedule_id, idempotency_key=key))
    if as_json:
        show(started, as_json=True)
    else:
        console.print(f"{started.job_id} {started.status}", soft_wrap=True)


@commands.command()
def delete(schedule_id: ScheduleId, as_json: AsJson = False) -> None:
    """Forget it; its jobs stay."""
    deleted = run(lambda bureau: bureau.jobs.schedules.delete(schedule_id))
    if as_json:
        show(deleted, as_json=True)
    else:
        console.print(f"{schedule_id} is deleted", soft_wrap=True)


def _show(schedule: Schedule, *, as_json: bool) -> None:
    if as_json:
        show(schedule, as_json=True)
    else:
        console.print(f"{schedule.schedule_id} next: {_next(schedule)}", soft_wrap=True)


def _next(schedule: Schedule) -> str:
    if not schedule.enabled:
        return "paused"
    return schedule.next_at.isoformat(timespec="minutes") if schedule.next_at else "never"
