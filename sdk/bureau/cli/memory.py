"""`bureau memory`: what agents know of people."""

import base64
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from bureau.cli.terminal import ago, console, json_of, run, short, show, table
from bureau.client import Bureau
from bureau_contracts.memory import (
    ExportedMemory,
    MemoryKind,
    MemorySearch,
    NewMemory,
    SearchDegraded,
    SearchMode,
    SupersedeMemory,
)
from bureau_contracts.memory_documents import DocumentType, NewDocument
from bureau_contracts.memory_usage import ReportUse

commands = typer.Typer(help="What agents know of people.", no_args_is_help=True)

User = Annotated[str | None, typer.Option(help="Another user than yourself (needs a tenant-wide key).")]
MemoryId = Annotated[str, typer.Argument(help="The memory's id (mem-…).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


IMPORTED_AT_ONCE = 100
_HELPED = {True: "yes", False: "no", None: ""}
_AWAY = {
    SearchDegraded.STORE_AWAY: "the memory store is away: nothing could be searched",
    SearchDegraded.EMBEDDER_AWAY: "the embedder is away: searched by words alone",
}


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
    mode: Annotated[SearchMode, typer.Option(help="By meaning and words, or one of them.")] = SearchMode.HYBRID,
    kind: Annotated[MemoryKind | None, typer.Option()] = None,
    agent: Annotated[str | None, typer.Option(help="Only what this agent stored.")] = None,
    where: Annotated[
        str | None, typer.Option("--filter", help='A condition on the metadata: {"eq": ["project", "atlas"]}.')
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what scores less.")] = None,
    as_of: Annotated[str | None, typer.Option(help="What was true then: 2026-10-30T12:00:00Z.")] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """The memories that fit best, and why."""
    given = {
        "q": query, "k": k, "mode": mode, "kind": kind, "agent": agent, "min_score": min_score, "user_id": user,
        "as_of": as_of, "filter": where and json_of(where, "--filter"),
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    answer = run(lambda bureau: bureau.memory.find(MemorySearch.model_validate(wanted)))
    rows = [
        (hit.memory.memory_id, f"{hit.score:.3f}", "+".join(hit.matched), hit.memory.kind, short(hit.memory.text))
        for hit in answer.results
    ]
    title = _AWAY.get(answer.degraded_reason) if answer.degraded_reason else None
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
def delete(
    memory_id: MemoryId, purge: Annotated[bool, typer.Option("--purge", help="Leave nothing of it.")] = False
) -> None:
    """Forget one memory; it can be restored for some days."""
    run(lambda bureau: bureau.memory.delete(memory_id, purge=purge))
    console.print(f"{memory_id} is {'erased' if purge else 'deleted'}")


@commands.command()
def history(memory_id: MemoryId, as_json: AsJson = False) -> None:
    """What a memory said before it was changed."""
    answer = run(lambda bureau: bureau.memory.history(memory_id))
    rows = [(ago(each.replaced_at), each.kind, f"{each.importance:g}", short(each.text)) for each in answer.versions]
    show(answer, as_json=as_json, table=lambda: table(("until", "kind", "importance", "text"), rows))


@commands.command()
def similar(
    above: Annotated[float | None, typer.Option(help="Least similarity, up to 1.")] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Pairs of memories that say nearly the same."""
    answer = run(lambda bureau: bureau.memory.similar(user_id=user, above=above))
    rows = [
        (each.memory_id, f"{pair.similarity:.3f}", short(each.text))
        for pair in answer.pairs
        for each in (pair.first, pair.second)
    ]
    show(answer, as_json=as_json, table=lambda: table(("memory", "similarity", "text"), rows))


@commands.command()
def erase(
    user: Annotated[str, typer.Argument(help="Whose; another's needs a tenant-wide key.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase all that is known of one person, for good."""
    if not yes:
        typer.confirm(f"Erase all memories of {user}?", abort=True)
    erased = run(lambda bureau: bureau.memory.erase(user))
    console.print(f"{erased.erased} memories of {user} are erased")


@commands.command("export")
def export_memories(
    path: Annotated[Path, typer.Argument(help="The file to write, one memory per line.")], user: User = None
) -> None:
    """Write memories with their histories into a file."""

    async def write(bureau: Bureau) -> int:
        count, after = 0, None
        with path.open("x", encoding="utf-8") as file:
            while True:
                page = await bureau.memory.export(user_id=user, after=after)
                file.writelines(f"{each.model_dump_json()}\n" for each in page.memories)
                count, after = count + len(page.memories), page.next_after
                if after is None:
                    return count

    console.print(f"{run(write)} memories written to {path}")


@commands.command("import")
def import_memories(path: Annotated[Path, typer.Argument(help="A file that `export` wrote.", exists=True)]) -> None:
    """Store the memories of a file; what is there already stays as it is."""

    async def read(bureau: Bureau) -> tuple[int, int]:
        given = created = 0
        with path.open(encoding="utf-8") as file:
            while batch := [ExportedMemory.model_validate_json(line) for line in islice(file, IMPORTED_AT_ONCE)]:
                answer = await bureau.memory.import_all(batch)
                given, created = given + len(batch), created + sum(each.created for each in answer.memories)
        return given, created

    given, created = run(read)
    console.print(f"{created} of {given} memories stored; the others were there")


@commands.command()
def extract(
    session_id: Annotated[str, typer.Argument(help="The session's id (sess-…).")],
    tool_results: Annotated[bool, typer.Option("--tool-results", help="Read what tools answered, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn what was said in a session since the last time into memories."""
    answer = run(lambda bureau: bureau.memory.extract(session_id, tool_results=tool_results))
    rows = [
        (each.action, each.memory_id or "", each.kind, ", ".join(map(str, each.source_seqs)), each.reason)
        for each in answer.results
    ]
    title = f"messages {answer.from_seq} to {answer.to_seq}, by {answer.extractor}"
    headings = ("action", "memory", "kind", "messages", "why")
    show(answer, as_json=as_json, table=lambda: table(headings, rows, title=title))


_TYPES = {".md": DocumentType.MARKDOWN, ".html": DocumentType.HTML, ".htm": DocumentType.HTML, ".pdf": DocumentType.PDF}


@commands.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="A text, Markdown, HTML or PDF file.", exists=True)],
    document_id: Annotated[str | None, typer.Option("--id", help="doc-…: the same again replaces it.")] = None,
    user: User = None,
) -> None:
    """Cut a document into memories that can be found one by one."""
    kind = _TYPES.get(path.suffix.lower(), DocumentType.PLAIN)
    content = (
        {"text": path.read_text()}
        if kind is not DocumentType.PDF
        else {"content_base64": base64.b64encode(path.read_bytes()).decode()}
    )
    given = {"media_type": kind, "title": path.name, **content}
    given |= {name: value for name, value in (("document_id", document_id), ("user_id", user)) if value}
    stored = run(lambda bureau: bureau.memory.ingest(NewDocument.model_validate(given)))
    counts = f"{stored.added} chunks added, {stored.kept} kept, {stored.removed} removed"
    console.print(f"{stored.document.document_id}: {counts}")


@commands.command()
def documents(user: User = None, as_json: AsJson = False) -> None:
    """Documents that were ingested."""
    page = run(lambda bureau: bureau.memory.documents(user_id=user, limit=200))
    rows = [(d.document_id, d.user_id, d.title, d.chunks, ago(d.updated_at)) for d in page.documents]
    show(page, as_json=as_json, table=lambda: table(("document", "user", "title", "chunks", "updated"), rows))


@commands.command()
def delete_document(document_id: Annotated[str, typer.Argument(help="The document's id (doc-…).")]) -> None:
    """Delete a document with all its chunks, for good."""
    run(lambda bureau: bureau.memory.delete_document(document_id))
    console.print(f"{document_id} is deleted")


@commands.command()
def why(
    trace_id: Annotated[str, typer.Argument(help="The turn's trace id.")], user: User = None, as_json: AsJson = False
) -> None:
    """Which memories a turn was given, and why it knew what it knew."""
    answer = run(lambda bureau: bureau.memory.usage(trace_id=trace_id, user_id=user))
    rows = [
        (short(use.query), each.memory_id, f"{each.score:.3f}", _HELPED[each.helped], short(each.note))
        for use in answer.uses
        for each in use.results
    ]
    headings = ("asked", "memory", "score", "helped", "note")
    show(answer, as_json=as_json, table=lambda: table(headings, rows))


@commands.command()
def helped(
    trace_id: Annotated[str, typer.Argument(help="The turn's trace id.")],
    memory: Annotated[list[str] | None, typer.Option(help="Only of this memory; may be given again.")] = None,
    harmed: Annotated[bool, typer.Option("--harmed", help="It did not help, it misled.")] = False,
    note: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Say whether what a turn was given helped it."""
    report = ReportUse(trace_id=trace_id, memory_ids=memory or None, helped=not harmed, note=note)
    answer = run(lambda bureau: bureau.memory.report(report))
    console.print(f"{answer.reported} memories marked as {'harmful' if harmed else 'helpful'}")


@commands.command()
def unused(
    days: Annotated[float, typer.Option(min=0.01, help="Not found by anybody for so long.")] = 30,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Memories that nobody finds."""
    answer = run(lambda bureau: bureau.memory.unused(days=days, user_id=user))
    rows = [(m.memory_id, m.user_id, ago(m.last_used_at or m.created_at), short(m.text)) for m in answer.memories]
    show(answer, as_json=as_json, table=lambda: table(("memory", "user", "last used", "text"), rows))


@commands.command()
def harmful(user: User = None, as_json: AsJson = False) -> None:
    """Memories that mislead more often than they help."""
    answer = run(lambda bureau: bureau.memory.harmful(user_id=user))
    rows = [(e.memory.memory_id, e.memory.user_id, e.harmed, e.helped, short(e.memory.text)) for e in answer.memories]
    show(answer, as_json=as_json, table=lambda: table(("memory", "user", "harmed", "helped", "text"), rows))


@commands.command()
def restore(memory_id: MemoryId) -> None:
    """Take a deletion back."""
    memory = run(lambda bureau: bureau.memory.restore(memory_id))
    console.print(f"{memory.memory_id} is back: {short(memory.text)}")


@commands.command()
def supersede(memory_id: MemoryId, text: Annotated[str, typer.Argument(help="What is true now.")]) -> None:
    """Say what is true now instead; what was is kept."""
    memory = run(lambda bureau: bureau.memory.supersede(memory_id, SupersedeMemory(text=text)))
    console.print(f"{memory.memory_id} takes the place of {memory_id}")
