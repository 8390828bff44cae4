"""`bureau tools`: MCP servers and HTTP tools, and what they offer."""

from typing import Annotated

import typer

from bureau.cli.terminal import ago, console, run, short, show, table
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
