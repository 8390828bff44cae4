"""`bureau agents`: which agents exist, and switching them on and off."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from bureau.cli.terminal import console, fail, run, short, show, table
from bureau_contracts.registry import RegisterAgent

commands = typer.Typer(help="Which agents exist, and switching them on and off.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The agent's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command("list")
def list_agents(
    q: Annotated[str | None, typer.Option(help="Only agents whose name, description or tags hold this.")] = None,
    enabled: Annotated[bool, typer.Option("--enabled", help="Only agents that are enabled.")] = False,
    as_json: AsJson = False,
) -> None:
    """All agents that you may see."""
    page = run(lambda bureau: bureau.agents.page(q=q, enabled_only=enabled or None, limit=200))
    rows = [
        (each.name, "on" if each.enabled else "off", short(each.description, 60), ", ".join(each.tags), each.revision)
        for each in page.agents
    ]
    show(page, as_json=as_json, table=lambda: table(("name", "", "description", "tags", "revision"), rows))


@commands.command("show")
def show_one(name: Name) -> None:
    """One agent's whole record, as JSON."""
    show(run(lambda bureau: bureau.agents.get(name)), as_json=True)


@commands.command()
def register(
    file: Annotated[Path, typer.Argument(help="A JSON file with one agent's record.", exists=True, dir_okay=False)],
) -> None:
    """Register the agent that a file describes."""
    try:
        agent = RegisterAgent.model_validate(json.loads(file.read_text()))
    except (ValidationError, ValueError) as error:
        fail(f"{file}: {error}")
    answer = run(lambda bureau: bureau.agents.register(agent))
    console.print(f"registered {answer.agent_name}")


@commands.command()
def enable(name: Name) -> None:
    """Let the agent be chosen again."""
    run(lambda bureau: bureau.agents.set_enabled(name, True))
    console.print(f"{name} is enabled")


@commands.command()
def disable(name: Name) -> None:
    """Switch the agent off: it is not chosen any more."""
    run(lambda bureau: bureau.agents.set_enabled(name, False))
    console.print(f"{name} is disabled")


@commands.command()
def delete(name: Name) -> None:
    """Remove the agent from the registry."""
    run(lambda bureau: bureau.agents.delete(name))
    console.print(f"{name} is deleted")


@commands.command()
def route(query: Annotated[str, typer.Argument(help="What a user might say.")], as_json: AsJson = False) -> None:
    """Which agent would answer, and why. Nothing runs."""
    answer = run(lambda bureau: bureau.route(query))
    rows = [(c.name, f"{c.score:.2f}", ", ".join(c.matched)) for c in answer.candidates]
    show(
        answer, as_json=as_json, table=lambda: table(("candidate", "score", "matched"), rows, title=answer.explanation)
    )
