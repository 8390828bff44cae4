"""`bureau memory`: what agents know of people."""

from typing import Annotated

import typer

from bureau.cli.terminal import ago, console, run, short, show, table
from bureau_contracts.memory import MemoryKind, NewMemory

commands = typer.Typer(help="What agents know of people.", no_args_is_help=True)

User = Annotated[str | None, typer.Option(help="Another user than yourself (needs a tenant-wide key).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command()
def add(
    text: Annotated[str, typer.Argument(help="What should be known tomorrow.")],
    kind: Annotated[MemoryKind, typer.Option()] = MemoryKind.FACT,
    user: User = None,
) -> None:
    """Store a memory."""
    given = {"text": text, "kind": kind} | ({"user_id": user} if user else {})
    stored = run(lambda bureau: bureau.memory.store(NewMemory.model_validate(given)))
    console.print(f"{stored.memory_id} {'stored' if stored.created else 'was there already'}")


@commands.command()
def search(
    query: Annotated[str, typer.Argument(help="What you look for.")],
    k: Annotated[int, typer.Option(min=1, max=100)] = 5,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """The memories that fit best, and why."""
    answer = run(lambda bureau: bureau.memory.search(query, k=k, user_id=user))
    rows = [
        (hit.memory.memory_id, f"{hit.score:.3f}", "+".join(hit.matched), hit.memory.kind, short(hit.memory.text))
        for hit in answer.results
    ]
    title = "the memory store is away: nothing could be searched" if answer.degraded else None
    show(answer, as_json=as_json, table=lambda: table(("memory", "score", "by", "kind", "text"), rows, title=title))


@commands.command("list")
def list_memories(
    user: User = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest memories."""
    page = run(lambda bureau: bureau.memory.page(user_id=user, limit=limit))
    rows = [(m.memory_id, m.user_id, m.kind, ago(m.created_at), short(m.text)) for m in page.memories]
    show(page, as_json=as_json, table=lambda: table(("memory", "user", "kind", "stored", "text"), rows))


@commands.command()
def delete(memory_id: Annotated[str, typer.Argument(help="The memory's id (mem-…).")]) -> None:
    """Forget one memory."""
    run(lambda bureau: bureau.memory.delete(memory_id))
    console.print(f"{memory_id} is deleted")
