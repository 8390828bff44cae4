"""`bureau sessions`: every conversation."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from bureau.cli.terminal import ago, console, fail, run, short, show, table
from bureau_contracts.sessions import ForkSession, Message, SessionExport

commands = typer.Typer(help="Every conversation.", no_args_is_help=True)

SessionId = Annotated[str, typer.Argument(help="The session's id (sess-…).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@commands.command("list")
def list_sessions(
    user: Annotated[str | None, typer.Option(help="Only this user's (needs a tenant-wide key).")] = None,
    agent: Annotated[str | None, typer.Option(help="Only those in which this agent took part.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest sessions."""
    page = run(lambda bureau: bureau.sessions.page(user_id=user, agent=agent, limit=limit))
    rows = [(s.session_id, s.user_id, s.status, s.message_count, ago(s.last_activity), s.title) for s in page.sessions]
    columns = ("session", "user", "status", "messages", "active", "title")
    show(page, as_json=as_json, table=lambda: table(columns, rows))


@commands.command("show")
def show_session(
    session_id: SessionId,
    last: Annotated[int, typer.Option(help="How many messages.", min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """A session's last messages."""
    view = run(lambda bureau: bureau.sessions.get(session_id, history_limit=last))
    rows = [(m.seq, m.agent or m.role, short(text_of(m), 200)) for m in view.conversation_history]
    title = f"{session_id}  {view.session.status}  {view.session.message_count} messages"
    show(view, as_json=as_json, table=lambda: table(("seq", "who", "message"), rows, title=title))


@commands.command()
def search(
    text: Annotated[str, typer.Argument(help='Words, and "phrases", all of which are in the message.')],
    user: Annotated[str | None, typer.Option(help="Only this user's (needs a tenant-wide key).")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
) -> None:
    """Find messages by their words, the latest first."""
    page = run(lambda bureau: bureau.sessions.search(text, user_id=user, session_id=session, limit=limit))
    rows = [
        (hit.session_id, hit.seq, hit.agent or hit.role, ago(hit.timestamp), "".join(part.text for part in hit.snippet))
        for hit in page.hits
    ]
    show(page, as_json=as_json, table=lambda: table(("session", "seq", "who", "when", "message"), rows))


@commands.command("export")
def export_session(session_id: SessionId) -> None:
    """Print a session with everything in it as one JSON document, which `import` takes."""
    sys.stdout.write(run(lambda bureau: bureau.sessions.export(session_id)).model_dump_json() + "\n")


@commands.command("import")
def import_session(
    file: Annotated[Path, typer.Argument(help="What `export` printed.", exists=True, dir_okay=False)],
) -> None:
    """Make a session of what was exported: the same id, messages, times and turns."""
    try:
        document = SessionExport.model_validate_json(file.read_bytes())
    except ValidationError as error:
        fail(f"{file} is no export of a session: {error.errors()[0]['msg']}")
    imported = run(lambda bureau: bureau.sessions.import_(document))
    console.print(f"{imported.session_id}: {imported.message_count} messages")


@commands.command()
def archive(session_id: SessionId) -> None:
    """Close a session for good; it stays readable."""
    run(lambda bureau: bureau.sessions.delete(session_id))
    console.print(f"{session_id} is archived")


@commands.command()
def purge(
    session_id: SessionId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a session and everything in it."""
    if not yes:
        typer.confirm(f"Erase {session_id} and all of its messages?", abort=True)
    run(lambda bureau: bureau.sessions.delete(session_id, purge=True))
    console.print(f"{session_id} is erased")


@commands.command()
def resume(session_id: SessionId) -> None:
    """Make an expired session active again."""
    resumed = run(lambda bureau: bureau.sessions.resume(session_id))
    until = f" until {resumed.expires_at:%Y-%m-%d}, and longer when something happens" if resumed.expires_at else ""
    console.print(f"{session_id} is active{until}")


@commands.command()
def cleanup(
    older_than: Annotated[int, typer.Option(help="Days without activity.", min=0)] = 7,
    user: Annotated[str | None, typer.Option(help="Only this user's (needs a tenant-wide key).")] = None,
    purge: Annotated[bool, typer.Option("--purge", help="Erase them instead of archiving them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before erasing.")] = False,
) -> None:
    """Archive completed sessions that lie idle."""
    if purge and not dry_run and not yes:
        typer.confirm(f"Erase all completed sessions that lay idle for {older_than} days?", abort=True)
    cleaned = run(
        lambda bureau: bureau.sessions.clean_up(older_than_days=older_than, user_id=user, purge=purge, dry_run=dry_run)
    )
    would = "would be " if dry_run else ""
    console.print(f"{cleaned.sessions} sessions {would}{'erased' if purge else 'archived'}")


@commands.command()
def erase(
    user: Annotated[str, typer.Argument(help="Whose; another's needs a tenant-wide key.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase everything of one person: all sessions, and the state that belongs to the person."""
    if not yes:
        typer.confirm(f"Erase all sessions of {user}?", abort=True)
    erased = run(lambda bureau: bureau.sessions.erase(user))
    console.print(f"{erased.sessions} sessions of {user} are erased")


@commands.command()
def fork(
    session_id: SessionId,
    at: Annotated[int | None, typer.Option(help="Show the messages up to this one.", min=0)] = None,
    title: Annotated[str | None, typer.Option(help="Another title.")] = None,
) -> None:
    """Begin a new session with what this one shows."""
    forked = run(lambda bureau: bureau.sessions.fork(session_id, ForkSession(at_seq=at, title=title)))
    console.print(f"{forked.session_id} shows {forked.at_seq} messages of {session_id}")


@commands.command()
def rewind(
    session_id: SessionId, to: Annotated[int, typer.Argument(help="The last message that stays.", min=0)]
) -> None:
    """Go back in a session; what came after stays on a branch."""
    rewound = run(lambda bureau: bureau.sessions.rewind(session_id, to))
    console.print(f"{session_id} has {rewound.message_count} messages, on branch {rewound.branch}")


@commands.command()
def branches(session_id: SessionId, as_json: AsJson = False) -> None:
    """What a session shows, and what it showed before rewinds."""
    found = run(lambda bureau: bureau.sessions.branches(session_id))
    rows = [(b.branch, b.message_count, ago(b.left_at) if b.left_at else "") for b in found.branches]
    show(found, as_json=as_json, table=lambda: table(("branch", "messages", "left"), rows))


@commands.command()
def compact(
    session_id: SessionId,
    max_tokens: Annotated[int, typer.Option(help="What the summary and the messages behind it may be.")] = 1500,
    keep_last: Annotated[int | None, typer.Option(help="So many messages stay as they are.", min=0)] = None,
    as_json: AsJson = False,
) -> None:
    """Let a summary stand for a session's older messages; none is lost."""
    made = run(lambda bureau: bureau.sessions.compact(session_id, max_tokens=max_tokens, keep_last=keep_last))

    covered = f"; messages 1–{made.summary.covers.last_seq} are summarised" if made.summary else ""
    done = "compacted" if made.compacted else "nothing to do"
    show(made, as_json=as_json, table=lambda: f"{done}: {made.tokens} tokens{covered}")


@commands.command()
def summary(session_id: SessionId, as_json: AsJson = False) -> None:
    """What stands for a session's older messages."""
    made = run(lambda bureau: bureau.sessions.summary(session_id))

    title = f"Messages 1–{made.covers.last_seq}, made by {made.made_by}:"
    show(made, as_json=as_json, table=lambda: Text(f"{title}\n{made.text}"))


@commands.command()
def sweep(as_json: AsJson = False) -> None:
    """Do now what the service does by itself now and then (needs a tenant-wide key)."""
    swept = run(lambda bureau: bureau.sessions.sweep())
    show(swept, as_json=as_json, table=lambda: table(("what", "how many"), sorted(swept.counts.items())))


@commands.command()
def backup() -> None:
    """Copy the sessions' SQLite file while it is in use (needs an admin's key)."""
    made = run(lambda bureau: bureau.sessions.back_up())
    console.print(f"{made.name}: {made.size} bytes in {made.seconds} s")


def text_of(message: Message) -> str:
    """What a person would read of a message: its text, or the tools it called and what they gave."""
    if message.content:
        return message.content if isinstance(message.content, str) else str(message.content)
    calls = [f"→ {call.name}({call.arguments})" for call in message.tool_calls]
    results = [f"← {result.error or result.result}" for result in message.tool_results]
    return " ".join(calls + results)
