"""`bureau jobs run`, `batch` and `check`: runbooks, and the jobs that are made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from bureau.cli.job_arguments import AsJson
from bureau.cli.terminal import console, fail, line, run, show, table
from bureau.cli.watching import refuse_too_many, watch_jobs
from bureau.runbooks import BadRunbook, RunbookFile, read_runbook
from bureau_contracts.jobs import DryRun, JobStarted, StartJob

Book = Annotated[Path, typer.Argument(help="A runbook: YAML or JSON.", exists=True, dir_okay=False)]
Books = Annotated[list[Path], typer.Argument(help="Runbooks: YAML or JSON.", exists=True, dir_okay=False)]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it to its end.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key starts it once.")]
Queue = Annotated[str | None, typer.Option(help="Instead of the runbook's.")]
Priority = Annotated[int | None, typer.Option(help="0 to 9, instead of the runbook's.", min=0, max=9)]
Deadline = Annotated[float | None, typer.Option(help="Seconds that it may take, instead of the runbook's.")]
At = Annotated[str | None, typer.Option(help="Not before: 2027-01-31T08:00:00Z.")]


def run_job(
    file: Book,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="A parameter: name=value. Repeat it.")] = None,
    watch: Watch = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what each step would do.")] = False,
    key: Key = None,
    queue: Queue = None,
    priority: Priority = None,
    deadline: Deadline = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Start the job that a runbook describes."""
    try:
        book = read_runbook(file)
        job = book.job(book.parse(assignments or ()))
    except BadRunbook as error:
        fail(str(error))
    job = _with(job, queue=queue, priority=priority, deadline_seconds=deadline, start_at=at)
    if dry_run:
        _show_dry_run(run(lambda bureau: bureau.jobs.dry_run(job)), as_json=as_json)
        return
    started = run(lambda bureau: bureau.jobs.start(job, idempotency_key=key))
    if as_json and not watch:
        show(started, as_json=True)
    else:
        _say_started([started], as_json=as_json)
    if watch:
        watch_jobs([started.job_id], as_json=as_json)


def batch(
    files: Books,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="name=value, for each runbook that has the parameter. Repeat it.")
    ] = None,
    watch: Watch = False,
    key: Key = None,
    queue: Queue = None,
    priority: Priority = None,
    deadline: Deadline = None,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Start the jobs of several runbooks, all or none."""
    told = {"queue": queue, "priority": priority, "deadline_seconds": deadline, "start_at": at}
    jobs = [_with(job, **told) for job in _jobs(files, assignments or ())]
    if watch:
        refuse_too_many(jobs)
    answer = run(lambda bureau: bureau.jobs.start_all(jobs, idempotency_key=key))
    if as_json and not watch:
        show(answer, as_json=True)
    else:
        _say_started(answer.jobs, as_json=as_json)
    if watch:
        watch_jobs([each.job_id for each in answer.jobs], as_json=as_json)


def check(files: Books) -> None:
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


def _jobs(files: Sequence[Path], assignments: Sequence[str]) -> list[StartJob]:
    """Ends the command with all that is wrong with any of them."""
    wrong: list[str] = []
    books: list[RunbookFile] = []
    for file in files:
        try:
            books.append(read_runbook(file))
        except BadRunbook as error:
            wrong += error.lines
    asked = {parameter.name for book in books for parameter in book.runbook.parameters}
    if not wrong:
        wrong += [f"{each}: no runbook has such a parameter" for each in assignments if _name(each) not in asked]
    jobs: list[StartJob] = []
    for book in books:
        own = {parameter.name for parameter in book.runbook.parameters}
        try:
            jobs.append(book.job(book.parse([each for each in assignments if _name(each) in own])))
        except BadRunbook as error:
            wrong += error.lines
    if wrong:
        fail("\n".join(wrong))
    return jobs


def _name(assignment: str) -> str:
    return assignment.partition("=")[0]


def _with(job: StartJob, **told: Any) -> StartJob:
    """With what the command line says instead of the runbook."""
    fields = {name: getattr(job, name) for name in job.model_fields_set}
    try:
        return StartJob(**fields | {name: value for name, value in told.items() if value is not None})
    except ValidationError as error:
        fail("\n".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_url=False)))


def _say_started(jobs: Sequence[JobStarted], *, as_json: bool) -> None:
    for job in jobs:
        if as_json:
            line(job)
        else:
            known = "" if job.created else " (was started before)"
            console.print(f"{job.job_id} {job.status}{known}", soft_wrap=True)


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
