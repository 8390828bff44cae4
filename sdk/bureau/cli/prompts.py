"""`bureau prompts`: instructions in versions, and the labels that point at them."""

import sys
from typing import Annotated

import typer

from bureau.cli.terminal import ago, fail, run, short, show, table
from bureau_contracts.prompts import RenderPrompt

commands = typer.Typer(help="Instructions in versions, and labels that point at them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The prompt's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command("list")
def list_prompts(as_json: AsJson = False) -> None:
    """All prompts that you may see."""
    page = run(lambda bureau: bureau.prompts.page(limit=200))
    rows = [(each.name, each.version_count, _labels(each.labels)) for each in page.prompts]
    show(page, as_json=as_json, table=lambda: table(("name", "versions", "labels"), rows))


@commands.command("show")
def show_one(name: Name, as_json: AsJson = False) -> None:
    """One prompt's versions, and what its labels point at."""
    prompt = run(lambda bureau: bureau.prompts.get(name))
    rows = [
        (each.version, ", ".join(each.variables), ago(each.created_at), each.created_by, short(each.text))
        for each in prompt.versions
    ]
    columns = ("version", "variables", "made", "by", "text")
    show(prompt, as_json=as_json, table=lambda: table(columns, rows, title=_labels(prompt.labels)))


@commands.command()
def render(
    name: Name,
    label: Annotated[str | None, typer.Option(help="Which label; the newest version without one.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Which version, in place of a label.")] = None,
    variable: Annotated[list[str] | None, typer.Option("--set", help="A variable, NAME=VALUE.")] = None,
) -> None:
    """Print the text with its variables filled in."""
    given = dict(each.partition("=")[::2] for each in variable or [])
    try:
        request = RenderPrompt(label=label, version=version, variables=given)
    except ValueError as error:
        fail(str(error))
    rendered = run(lambda bureau: bureau.prompts.render(name, request))
    sys.stdout.write(rendered.text + "\n")


def _labels(labels: dict[str, int]) -> str:
    return ", ".join(f"{label} → {version}" for label, version in sorted(labels.items()))
