"""`bureau jobs`: long work, watched and steered."""

from pathlib import Path
from typing import Annotated

import typer

from bureau.cli import schedules
from bureau.cli.progress import ENDED, follow
from bureau.cli.terminal import ago, console, fail, run, short, show, table
from bureau.runbooks import BadRunbook, read_runbook
from bureau_contracts.jobs import DryRun, JobAction, JobStatus

commands = typer.Typer(help="Long work, watched and steered.", no_args_is_help=True)
commands.add_typer(schedules.commands, name="schedules")

JobId = Annotated[str, typer.Argument(help="The job's id (job-…).")]
StepIndex = Annotated[int, typer.Argument(help="The step's number, from 0.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the decision.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command("run")
def run_job(
    file: Annotated[Path, typer.Argument(help="A runbook: YAML or JSON.", exists=True, dir_okay=False)],
    assignments: Annotated[list[str] | None, typer.Option("--set", help="A parameter: name=value. Repeat it.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what each step would do.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key starts the job once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start the job that a runbook describes."""
    try:
        book = read_runbook(file)
        job = book.job(book.parse(assignments or ()))
    except BadRunbook as error:
        fail(str(error))
    if dry_run:
        _show_dry_run(run(lambda bureau: bureau.jobs.dry_run(job)), as_json=as_json)
        return
    started = run(lambda bureau: bureau.jobs.start(job, idempotency_key=key))
    if as_json:
        show(started, as_json=True)
    else:
        known = "" if started.created else " (was started before)"
        console.print(f"{started.job_id} {started.status}{known}", soft_wrap=True)
    if watch:
        watch_job(started.job_id)


@commands.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Runbooks: YAML or JSON.", exists=True, dir_okay=False)],
) -> None:
    """Say what is wrong with runbooks, with file and line. Asks nobody."""
    wrong: list[str] = []
    for file in files:
        try:
            runbook = read_runbook(file).runbook
        except BadRunbook as error:
            wrong += error.lines
        else:
            asked = ", ".join(each.name + ("" if each.needed else "?") for each in runbook.parameters)
            said = f"{file}: {len(runbook.steps)} steps" + (f", parameters {asked}" if asked else "")
            console.print(said, markup=False, soft_wrap=True)
    if wrong:
        fail("\n".join(wrong))


@commands.command("list")
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs."""
    page = run(lambda bureau: bureau.jobs.page(status=status, limit=limit))
    rows = [
        (j.job_id, j.owner, j.status, f"{j.current_step}/{j.step_count}", ago(j.last_update), short(j.title, 40))
        for j in page.jobs
    ]
    show(page, as_json=as_json, table=lambda: table(("job", "owner", "status", "step", "updated", "title"), rows))


@commands.command("show")
def show_job(job_id: JobId, as_json: AsJson = False) -> None:
    """A job with every step."""
    job = run(lambda bureau: bureau.jobs.get(job_id))
    rows = [
        (step.index, step.name, step.kind, step.status, step.attempts, short(step.error or str(step.result or ""), 60))
        for step in job.steps
    ]
    title = f"{job.title}: {job.status}, {job.progress:.0%}"
    columns = ("", "step", "kind", "status", "attempts", "result")
    show(job, as_json=as_json, table=lambda: table(columns, rows, title=title))


@commands.command("watch")
def watch_job(job_id: JobId) -> None:
    """Follow a job to its end, or to where it waits for you. Exits with 1 when it did not succeed."""
    again = f"{job_id} goes on without you. Watch it again: bureau jobs watch {job_id}"
    job = run(lambda bureau: follow(bureau, job_id), interrupted=again)
    console.print(f"{job_id} {job.status}" + (f": {job.error}" if job.error else ""), markup=False, soft_wrap=True)
    if job.status is JobStatus.WAITING_APPROVAL:
        console.print(f"bureau jobs approve {job_id} {job.current_step}", soft_wrap=True)
    if job.status in ENDED and job.status is not JobStatus.SUCCEEDED:
        raise typer.Exit(1)


@commands.command()
def pause(job_id: JobId) -> None:
    """Stop at the next step boundary."""
    _report(run(lambda bureau: bureau.jobs.pause(job_id)))


@commands.command()
def resume(job_id: JobId) -> None:
    """Go on from where it was paused."""
    _report(run(lambda bureau: bureau.jobs.resume(job_id)))


@commands.command()
def cancel(job_id: JobId) -> None:
    """End the job; finished steps stay recorded."""
    _report(run(lambda bureau: bureau.jobs.cancel(job_id)))


@commands.command()
def retry(job_id: JobId) -> None:
    """Run a failed job again from the step that failed."""
    _report(run(lambda bureau: bureau.jobs.retry(job_id)))


@commands.command()
def approve(job_id: JobId, step: StepIndex, comment: Comment = "") -> None:
    """Let a waiting step pass."""
    _report(run(lambda bureau: bureau.jobs.approve(job_id, step, comment=comment)))


@commands.command()
def reject(job_id: JobId, step: StepIndex, comment: Comment = "") -> None:
    """Refuse a waiting step: the job fails."""
    _report(run(lambda bureau: bureau.jobs.reject(job_id, step, comment=comment)))


@commands.command()
def skip(job_id: JobId, step: StepIndex, comment: Comment = "") -> None:
    """Go on without a step."""
    _report(run(lambda bureau: bureau.jobs.skip(job_id, step, comment=comment)))


@commands.command()
def workers(as_json: AsJson = False) -> None:
    """Who is alive, and what each is doing."""
    answer = run(lambda bureau: bureau.jobs.workers())
    rows = [(w.worker_id, ago(w.started_at), ago(w.last_seen), w.job_id or "idle") for w in answer.workers]
    show(answer, as_json=as_json, table=lambda: table(("worker", "started", "seen", "doing"), rows))


def _show_dry_run(told: DryRun, *, as_json: bool) -> None:
    rows = [
        (
            step.index,
            step.name,
            step.would,
            "yes" if step.effects else "",
            "" if step.repeatable else "no",
            "a human" if step.longest_seconds is None else f"{step.longest_seconds:g} s",
            "; ".join(step.problems),
        )
        for step in told.steps
    ]
    columns = ("", "step", "what it would do", "effects", "repeatable", "at worst", "problem")
    title = f"{told.title}: nothing was started. At worst {told.longest_seconds:g} s, {told.approvals} approvals"
    show(told, as_json=as_json, table=lambda: table(columns, rows, title=title))
    if not as_json and told.unchecked:
        console.print("Only the run will show " + "; ".join(told.unchecked) + ".", markup=False)
    if not told.ok:
        raise typer.Exit(1)


def _report(action: JobAction) -> None:
    console.print(f"{action.job_id} is {action.status}")
