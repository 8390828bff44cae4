"""`bureau tools`: MCP servers and HTTP tools, what they offer, and calling it."""

import json
from typing import Annotated, Any

import typer
from pydantic import RootModel

from bureau.cli.terminal import ago, console, fail, run, short, show, table
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import CallStatus
from bureau_contracts.tools import ToolRecord

commands = typer.Typer(help="MCP servers and HTTP tools, and what they offer.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tool source's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command("list")
def list_tools(as_json: AsJson = False) -> None:
    """All tool sources that you may see."""
    page = run(lambda bureau: bureau.tools.page(limit=200))
    rows = [
        (each.name, each.source, "on" if each.enabled else "off", _offers(each), short(each.description, 60))
        for each in page.tools
    ]
    show(page, as_json=as_json, table=lambda: table(("name", "source", "", "offers", "description"), rows))


@commands.command("show")
def show_one(name: Name, as_json: AsJson = False) -> None:
    """What one source offers, with the risk of each tool and where that comes from."""
    _show(run(lambda bureau: bureau.tools.get(name)), as_json)


@commands.command()
def refresh(name: Name, as_json: AsJson = False) -> None:
    """Ask the source again what it offers."""
    _show(run(lambda bureau: bureau.tools.refresh(name)), as_json)


@commands.command()
def call(
    name: Annotated[str, typer.Argument(help="files.read, weather, or parcels/list_parcels.")],
    arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}",
    agent: Annotated[str | None, typer.Option(help="On this agent's behalf: its allow-list and ceiling hold.")] = None,
    level: Annotated[AutonomyLevel, typer.Option(help="L1 reads, L2 writes too, L3 does everything.")] = (
        AutonomyLevel.L2
    ),
    key: Annotated[str | None, typer.Option(help="Idempotency key, passed to the tool.")] = None,
    as_json: AsJson = False,
) -> None:
    """Call one tool under policy. Exits with 1 when it did not do its work."""
    try:
        given = json.loads(arguments)
    except ValueError as error:
        fail(f"arguments: {error}")
    if not isinstance(given, dict):
        fail("arguments: a JSON object is needed")
    called = run(
        lambda bureau: bureau.runtime.call_tool(name, given, agent=agent, autonomy_level=level, idempotency_key=key)
    )
    if as_json or called.status is CallStatus.COMPLETED:
        result = called if as_json else RootModel[Any](called.result)
        show(result, as_json=True)
    if called.status is not CallStatus.COMPLETED:
        fail(f"{called.name} {called.status}: {called.error}")
    if called.cut:
        console.print("the result was too long: it was cut", markup=False)


def _show(tool: ToolRecord, as_json: bool) -> None:
    listing = tool.listing
    offered = listing.tools if listing else []
    rows = [(each.name, each.risk, each.risk_from, short(each.description, 70)) for each in offered]
    asked = f"asked {ago(listing.listed_at)}" if listing and listing.listed_at else "not asked yet"
    show(tool, as_json=as_json, table=lambda: table(("tool", "risk", "from", "description"), rows, title=asked))
    if listing and listing.error and not as_json:
        console.print(f"it could not be asked: {listing.error}", markup=False)


def _offers(tool: ToolRecord) -> str:
    if tool.listing is None or tool.listing.listed_at is None:
        return "not asked yet" if tool.listing is None or not tool.listing.error else "away"
    return f"{len(tool.listing.tools)} tools" + (" (away)" if tool.listing.error else "")
