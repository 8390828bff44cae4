"""The `bureau` command: a thin layer of arguments and tables over the client."""

import typer

from bureau.cli import agents, jobs, memory, operate, prompts, sessions, tools
from bureau.cli.chat import chat

app = typer.Typer(
    name="bureau", help="Bureau, the back office for AI agents.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command()(chat)
app.add_typer(agents.commands, name="agents")
app.add_typer(tools.commands, name="tools")
app.add_typer(prompts.commands, name="prompts")
app.add_typer(sessions.commands, name="sessions")
app.add_typer(memory.commands, name="memory")
app.add_typer(jobs.commands, name="jobs")
app.add_typer(operate.keys, name="keys")
app.command()(operate.health)
app.command()(operate.doctor)
app.command(context_settings=operate.PASS_ON)(operate.up)
app.command()(operate.down)
app.command(context_settings=operate.PASS_ON)(operate.logs)


def main() -> None:
    app()
