"""`bureau jobs`: long work, watched and steered."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
import yaml

from bureau.cli import decisions, queues, runbooks, schedules
from bureau.cli.job_arguments import AsJson, JobId, report
from bureau.cli.progress import told
from bureau.cli.terminal import ago, fail, plain, run, short, show, table
from bureau.cli.watching import watch_jobs
from bureau_contracts.jobs import Job, JobStatus, Step

commands = typer.Typer(help="Long work, watched and steered.", no_args_is_help=True)
commands.command("run")(runbooks.run_job)
commands.command()(runbooks.batch)
commands.command()(runbooks.check)


@commands.command("list")
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option()] = None,
    kind: Annotated[str | None, typer.Option()] = None,
    user: Annotated[str | None, typer.Option(help="Whose; needs a tenant-wide scope.")] = None,
    parent: Annotated[str | None, typer.Option(help="Those of a job: of its map steps, for one.")] = None,
    waiting_for_me: Annotated[bool, typer.Option("--waiting-for-me", help="Those that name you as approver.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs."""
    page = run(
        lambda bureau: bureau.jobs.page(
            status=status, kind=kind, user_id=user, parent_id=parent, waiting_for_me=waiting_for_me, limit=limit
        )
    )
    rows = [
        (j.job_id, j.owner, j.status, f"{j.current_step}/{j.step_count}", ago(j.last_update), short(j.title, 40))
        for j in page.jobs
    ]
    show(page, as_json=as_json, table=lambda: table(("job", "owner", "status", "step", "updated", "title"), rows))


@commands.command("show")
def show_job(
    job_id: JobId,
    step: Annotated[int | None, typer.Option(help="Print this step's definition, as 'edit' takes it.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """A job with every step."""
    job = run(lambda bureau: bureau.jobs.get(job_id))
    if step is not None:
        if step >= len(job.steps):
            fail(f"{job_id} has no step {step}: it has {len(job.steps)}, from 0")
        definition = job.steps[step].definition.model_dump(mode="json", exclude_defaults=True)
        plain(json.dumps(definition, indent=2) if as_json else _yaml(definition))
        return
    rows = [(s.index, s.name, s.kind, s.status, s.attempts, short(_outcome(s), 60)) for s in job.steps]
    columns = ("", "step", "kind", "status", "attempts", "result")
    show(job, as_json=as_json, table=lambda: table(columns, rows, title=", ".join(_facts(job))))


@commands.command()
def watch(job_ids: Annotated[list[str], typer.Argument(help="Jobs' ids (job-…).")], as_json: AsJson = False) -> None:
    """Follow jobs to their end, or to where they wait for you. Exits with 1 when one did not succeed."""
    watch_jobs(job_ids, as_json=as_json)


@commands.command()
def pause(job_id: JobId, as_json: AsJson = False) -> None:
    """Stop at the next step boundary."""
    report(run(lambda bureau: bureau.jobs.pause(job_id)), as_json=as_json)


@commands.command()
def resume(job_id: JobId, as_json: AsJson = False) -> None:
    """Go on from where it was paused."""
    report(run(lambda bureau: bureau.jobs.resume(job_id)), as_json=as_json)


@commands.command()
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """End the job; finished steps stay recorded."""
    report(run(lambda bureau: bureau.jobs.cancel(job_id)), as_json=as_json)


@commands.command()
def retry(
    job_id: JobId,
    from_step: Annotated[
        int | None, typer.Option(help="Begin with this one again: results from there on are given up.", min=0)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a failed job again from the step that failed."""
    report(run(lambda bureau: bureau.jobs.retry(job_id, from_step=from_step)), as_json=as_json)


commands.command()(decisions.approve)
commands.command()(decisions.reject)
commands.command()(decisions.skip)
commands.command()(decisions.edit)
commands.command()(queues.dead)
commands.command()(queues.requeue)
commands.command()(queues.queues)
commands.command()(queues.workers)
commands.command("webhook-key")(queues.webhook_key)
commands.add_typer(schedules.commands, name="schedules")


def _facts(job: Job) -> Iterator[str]:
    yield f"{job.title}: {job.status}"
    yield f"{job.progress:.0%}"
    if job.queue != "default" or job.priority != 5:
        yield f"queue {job.queue} with priority {job.priority}"
    if job.deadline:
        yield f"to end by {job.deadline:%Y-%m-%d %H:%M} UTC"
    if job.cost:
        yield f"{job.cost:.4f} USD"
    if job.parent_id:
        yield f"of {job.parent_id}"
    if job.error:
        yield job.error


class _Readable(yaml.SafeDumper):
    """Texts of several lines as such."""


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _yaml(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=110))


def _outcome(step: Step) -> str:
    if step.children:
        return told(step.children) + (f": {step.error}" if step.error else "")
    if step.error:
        return step.error
    if step.expires_at:
        approvers = ", ".join(step.definition.approval.approvers) or "somebody"
        return f"waits for {approvers}; {step.definition.approval.on_expiry} on {step.expires_at:%Y-%m-%d %H:%M} UTC"
    if step.progress is not None and step.finished_at is None:
        return f"{step.progress:.0%} {step.note}"
    return str(step.result or "")
