"""What a human says of one step of a job: it passes, it does not, it is left out, it is another."""

from pathlib import Path
from typing import Annotated

import typer

from bureau.cli.job_arguments import AsJson, Comment, JobId, StepIndex, report
from bureau.cli.terminal import fail, json_of, run
from bureau.runbooks import BadRunbook, read_step


def approve(
    job_id: JobId,
    step: StepIndex,
    comment: Comment = "",
    result: Annotated[str | None, typer.Option(help="JSON: what it brought about, for later steps to use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a waiting step pass."""
    known = None if result is None else json_of(result, "--result")
    report(run(lambda bureau: bureau.jobs.approve(job_id, step, comment=comment, result=known)), as_json=as_json)


def reject(job_id: JobId, step: StepIndex, comment: Comment = "", as_json: AsJson = False) -> None:
    """Refuse a waiting step: the job fails."""
    report(run(lambda bureau: bureau.jobs.reject(job_id, step, comment=comment)), as_json=as_json)


def skip(job_id: JobId, step: StepIndex, comment: Comment = "", as_json: AsJson = False) -> None:
    """Go on without a step."""
    report(run(lambda bureau: bureau.jobs.skip(job_id, step, comment=comment)), as_json=as_json)


def edit(
    job_id: JobId,
    step: StepIndex,
    file: Annotated[
        Path, typer.Option(help="The step as YAML or JSON; 'show --step' prints it.", exists=True, dir_okay=False)
    ],
    comment: Comment = "",
    as_json: AsJson = False,
) -> None:
    """Change a step that has not begun, of a job that is paused or waits; the old one is kept."""
    try:
        definition = read_step(file)
    except BadRunbook as error:
        fail(str(error))
    report(run(lambda bureau: bureau.jobs.edit(job_id, step, definition, comment=comment)), as_json=as_json)
