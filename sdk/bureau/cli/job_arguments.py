"""What several commands of `bureau jobs` are given, and what they answer."""

from typing import Annotated

import typer

from bureau.cli.terminal import console, show
from bureau_contracts.jobs import JobAction

JobId = Annotated[str, typer.Argument(help="The job's id (job-…).")]
StepIndex = Annotated[int, typer.Argument(help="The step's number, from 0.", min=0)]
Comment = Annotated[str, typer.Option(help="Why; kept with the decision.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def report(action: JobAction, *, as_json: bool) -> None:
    if as_json:
        show(action, as_json=True)
    else:
        console.print(f"{action.job_id} is {action.status}", soft_wrap=True)
