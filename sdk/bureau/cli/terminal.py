"""What commands print: tables for people, JSON for scripts, one line for an error."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bureau.cli.settings import NotConfigured, address
from bureau.client import Bureau
from bureau.errors import BureauError

R = TypeVar("R")

console = Console()
errors = Console(stderr=True)

EXIT_FAILED = 1
EXIT_NOT_CONFIGURED = 2


def run(work: Callable[[Bureau], Awaitable[R]], *, interrupted: str = "") -> R:
    """Connects, does the work, and turns what can go wrong into a line on stderr and an exit code. `interrupted` is
    what Ctrl-C says."""

    async def connected() -> R:
        where = address()
        async with Bureau(where.url, where.api_key) as bureau:
            return await work(bureau)

    try:
        return asyncio.run(connected())
    except NotConfigured as error:
        fail(str(error), EXIT_NOT_CONFIGURED)
    except ValidationError as error:
        fail("; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()))
    except BureauError as error:
        trace = f"  (trace {error.trace_id})" if error.trace_id else ""
        fail(f"{error}{trace}", EXIT_FAILED)
    except KeyboardInterrupt:
        if interrupted:
            errors.print(_escape(interrupted), highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    errors.print(f"[red]bureau:[/red] {_escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def json_of(text: str, option: str) -> Any:
    """The value that was given with an option."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        fail(f"{option} is no JSON ({error}); a text is written '\"so\"'")


def show(answer: BaseModel, *, as_json: bool, table: Callable[[], RenderableType] | None = None) -> None:
    """The answer as JSON, or as the table that `table` makes of it."""
    if as_json or table is None:
        sys.stdout.write(answer.model_dump_json(indent=2) + "\n")
    else:
        console.print(table())


def line(answer: BaseModel) -> None:
    """One of many, as JSON on a line of its own."""
    sys.stdout.write(answer.model_dump_json() + "\n")
    sys.stdout.flush()


def plain(text: str) -> None:
    """As it is: neither wrapped nor coloured, to be copied or kept in a file."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> RenderableType:
    """The first column names the thing and is never cut, so that it can be copied."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, no_wrap=index == 0)
    for row in rows:
        made.add_row(*(_escape("" if cell is None else str(cell)) for cell in row))
    return Group(Text(title, style="italic"), made) if title else made


def ago(moment: datetime) -> str:
    """``3 min ago``."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def short(text: str, length: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
