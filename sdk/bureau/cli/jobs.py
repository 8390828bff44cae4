"""`bureau jobs`: long work, watched and steered."""

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bureau.cli.terminal import ago, console, fail, run, short, show, table
from bureau.client import Bureau
from bureau_contracts.jobs import Job, JobAction, JobStatus, StartJob

commands = typer.Typer(help="Long work, watched and steered.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id (job-…).")]
StepIndex = Annotated[int, typer.Argument(help="The step's number, from 0.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the decision.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


@commands.command("run")
def run_job(
    file: Annotated[Path, typer.Argument(help="A YAML or JSON file: title and steps.", exists=True, dir_okay=False)],
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key starts the job once.")] = None,
) -> None:
    """Start the job that a file describes."""
    try:
        text = file.read_text()
        job = StartJob.model_validate(json.loads(text) if file.suffix == ".json" else yaml.safe_load(text))
    except (ValidationError, ValueError, yaml.YAMLError) as error:
        fail(f"{file}: {error}")
    started = run(lambda bureau: bureau.jobs.start(job, idempotency_key=key))
    console.print(f"{started.job_id} {started.status}" if started.created else f"{started.job_id} was started before")
    if watch:
        watch_job(started.job_id)


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
    job = run(lambda bureau: _follow(bureau, job_id))
    console.print(f"{job_id} {job.status}" + (f": {job.error}" if job.error else ""))
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


async def _follow(bureau: Bureau, job_id: str) -> Job:
    job = await bureau.jobs.get(job_id)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        bar = progress.add_task(short(job.title, 40), total=len(job.steps), completed=job.current_step)
        async for event in bureau.jobs.events(job_id):
            step = event.data.get("step")
            progress.console.print(
                f"{event.timestamp:%H:%M:%S}  {event.type}  {event.status}  {step or ''}", markup=False
            )
            job = await bureau.jobs.get(job_id)
            progress.update(bar, completed=job.current_step)
            if job.status in ENDED or job.status in (JobStatus.WAITING_APPROVAL, JobStatus.PAUSED):
                break
    return job


def _report(action: JobAction) -> None:
    console.print(f"{action.job_id} is {action.status}")
