"""`bureau chat`: an interactive conversation."""

from typing import Annotated

import typer

from bureau.cli.terminal import console, errors, run
from bureau.client import Bureau
from bureau.errors import BureauError
from bureau_contracts.runtime import ChatAnswer

LEAVE = {"exit", "quit", "/exit", "/quit"}


def chat(
    message: Annotated[str | None, typer.Argument(help="One message; without it, a conversation.")] = None,
    session: Annotated[str | None, typer.Option(help="Go on with this session.")] = None,
    agent: Annotated[str | None, typer.Option(help="Ask this agent instead of the best one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Talk to your agents. Ends with 'exit' or Ctrl-D."""

    async def once(bureau: Bureau) -> None:
        answer = await bureau.chat(message or "", session_id=session, agent=agent)
        if as_json:
            console.print_json(answer.model_dump_json())
        else:
            _print(answer)

    async def conversation(bureau: Bureau) -> None:
        current = session
        while (line := _read()) is not None:
            if not line:
                continue
            try:
                answer = await bureau.chat(line, session_id=current, agent=agent)
            except BureauError as error:
                errors.print(f"[red]{error.code}[/red] {error.detail}", highlight=False)
                continue
            current = answer.session_id
            _print(answer)
        if current:
            console.print(f"[dim]go on with: bureau chat --session {current}[/dim]")

    run(once if message is not None else conversation)


def _read() -> str | None:
    try:
        line = console.input("[bold]you[/bold]  ").strip()
    except EOFError:
        console.print()
        return None
    return None if line in LEAVE else line


def _print(answer: ChatAnswer) -> None:
    console.print(f"[bold cyan]{', '.join(answer.agents) or 'bureau'}[/bold cyan]  ", end="")
    console.print(answer.reply, markup=False, highlight=False)
    why = answer.routing.explanation if answer.routing else ""
    console.print(f"[dim]{why}  ·  {answer.model}  ·  trace {answer.trace_id}[/dim]", highlight=False)
