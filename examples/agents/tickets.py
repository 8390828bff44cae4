"""The tickets agent: a person's support tickets, kept in SQLite."""

import sqlite3
from pathlib import Path
from typing import Literal

from bureau.agents import Agent, Risk, Tool, ToolContext, tool
from bureau_contracts.shapes import JsonObject

SCHEMA = Path(__file__).parent.parent / "data" / "tickets.sql"

INSTRUCTIONS = """You look after support tickets. List tickets before you talk about one; name tickets by their id.
Close or comment only when the user asks for it."""

Status = Literal["open", "waiting", "closed"]


def create_agent(database: str | None = None) -> Agent:
    """The agent over the SQLite file `database`, made from the bundled data if it is not there; None: in memory."""
    connection = _open(database)
    return Agent(instructions=INSTRUCTIONS, tools=_tools(connection))


def _open(database: str | None) -> sqlite3.Connection:
    fresh = database is None or not Path(database).exists()
    connection = sqlite3.connect(database or ":memory:", check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    if fresh:
        connection.executescript(SCHEMA.read_text())
    return connection


def _tools(connection: sqlite3.Connection) -> tuple[Tool, ...]:
    def ticket_of(user: str, ticket_id: str) -> JsonObject:
        row = connection.execute(
            "SELECT * FROM ticket WHERE ticket_id = ? AND requester = ?", (ticket_id.upper(), user)
        ).fetchone()
        if row is None:
            raise LookupError(f"you have no ticket {ticket_id}")
        return dict(row)

    @tool(
        risk=Risk.READ,
        examples=[
            "show my tickets",
            "list my open tickets",
            "which tickets are waiting",
            "what are my support requests",
        ],
    )
    async def list_tickets(context: ToolContext, status: Status | None = None) -> list[JsonObject]:
        """List the user's support tickets, newest first."""
        rows = connection.execute(
            "SELECT ticket_id, title, status, priority, opened FROM ticket"
            " WHERE requester = :user AND (:status IS NULL OR status = :status) ORDER BY opened DESC",
            {"user": context.user, "status": status},
        )
        return [dict(row) for row in rows]

    @tool(
        risk=Risk.READ,
        examples=["show details", "show ticket T-1002", "details of T-1001", "tell me more about the ticket"],
    )
    async def ticket_details(context: ToolContext, ticket_id: str) -> JsonObject:
        """Show one ticket with its description and comments."""
        ticket = ticket_of(context.user, ticket_id)
        comments = connection.execute("SELECT author, text FROM comment WHERE ticket_id = ?", (ticket["ticket_id"],))
        return {**ticket, "comments": [dict(row) for row in comments]}

    @tool(risk=Risk.WRITE, examples=["close ticket T-1001", "close it", "the ticket T-1003 can be closed"])
    async def close_ticket(context: ToolContext, ticket_id: str) -> JsonObject:
        """Close one of the user's tickets. Closing a closed ticket changes nothing."""
        ticket = ticket_of(context.user, ticket_id)
        connection.execute("UPDATE ticket SET status = 'closed' WHERE ticket_id = ?", (ticket["ticket_id"],))
        return {"ticket_id": ticket["ticket_id"], "status": "closed"}

    @tool(risk=Risk.WRITE, examples=['comment on T-1002 "any news?"', 'add the comment "thanks" to ticket T-1001'])
    async def comment_ticket(context: ToolContext, ticket_id: str, text: str) -> JsonObject:
        """Add a comment to one of the user's tickets; the same call repeated adds it once."""
        ticket = ticket_of(context.user, ticket_id)
        connection.execute(
            "INSERT INTO comment VALUES (?, ?, ?, ?) ON CONFLICT (idempotency_key) DO NOTHING",
            (ticket["ticket_id"], context.user, text, context.idempotency_key),
        )
        return {"ticket_id": ticket["ticket_id"], "comment": text}

    return (list_tickets, ticket_details, close_ticket, comment_ticket)
