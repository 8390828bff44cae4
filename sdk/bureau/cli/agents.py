"""`bureau agents`: which agents exist, and switching them on and off."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from bureau.cli.terminal import ago, console, fail, run, short, show, table
from bureau.folder import BadFolder, read_folder, write_folder
from bureau_contracts.registry import ImportMode, RegisterAgent

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


@commands.command("import")
def import_folder(
    folder: Annotated[Path, typer.Argument(help="YAML or JSON files, one record each.", exists=True, file_okay=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Delete what you may change and is not named.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the registry to what a folder says: agents, tools and prompts, all or nothing. Safe to repeat."""
    try:
        document = read_folder(folder)
    except BadFolder as error:
        fail(str(error))
    mode = ImportMode.REPLACE if replace else ImportMode.MERGE
    report = run(lambda bureau: bureau.agents.import_(document, mode=mode, dry_run=dry_run))
    rows = [(each.change, each.kind, each.name, ", ".join(each.fields)) for each in report.changes]
    title = f"{report.status}: {len(rows)} changed, {report.unchanged} unchanged"
    show(report, as_json=as_json, table=lambda: table(("change", "kind", "name", "fields"), rows, title=title))


@commands.command("export")
def export_folder(
    folder: Annotated[Path, typer.Argument(help="Where the files go; it is made when absent.", file_okay=False)],
) -> None:
    """Write everything that you may see, one YAML file per agent, tool and prompt. `import` reads it back."""
    document = run(lambda bureau: bureau.agents.export())
    written = write_folder(document, folder)
    console.print(f"{len(written)} files written to {folder}")


@commands.command()
def revisions(name: Name, as_json: AsJson = False) -> None:
    """What was changed, when and by whom; also of a deleted agent."""
    page = run(lambda bureau: bureau.agents.revisions(name))
    rows = [(each.revision, each.change, ago(each.at), each.by) for each in page.revisions]
    show(page, as_json=as_json, table=lambda: table(("revision", "change", "when", "by"), rows))


@commands.command()
def restore(name: Name, revision: Annotated[int, typer.Argument(min=1, help="See `bureau agents revisions`.")]) -> None:
    """Make the agent again what it was at a revision."""
    restored = run(lambda bureau: bureau.agents.restore(name, revision))
    console.print(f"{name} is what it was at revision {revision}; this is revision {restored.revision}")
