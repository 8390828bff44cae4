"""`bureau up`, `down`, `logs`, `keys`, `health`, `doctor`: running Bureau on this machine, and looking after it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Annotated, NoReturn

import typer
from rich.console import RenderableType

from bureau.cli.settings import NotConfigured, address, checkout, data_folder, launch_environment
from bureau.cli.terminal import EXIT_NOT_CONFIGURED, console, fail, run, show, table
from bureau_contracts.health import Health, HealthStatus, SystemHealth

keys = typer.Typer(help="API keys: who may come in.", no_args_is_help=True)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def up(context: typer.Context) -> None:
    """Start all of Bureau here: --detach, --reload, --only registry,sessions."""
    _launch("up", *context.args)


def down() -> None:
    """Stop what `up --detach` started."""
    _launch("down")


def logs(context: typer.Context) -> None:
    """The last lines of every process, or of those that are named."""
    _launch("logs", *context.args)


@keys.command(
    "create", context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)
def create_key(context: typer.Context) -> None:
    """Print a new API key: --tenant T --user U [--scope S …] [--service] [--days N]."""
    _python("gateway.keys", "create", "--file", str(data_folder().resolve() / "keys.json"), *context.args)


@keys.command("list")
def list_keys() -> None:
    """Every key's id, owner and scopes; never the key."""
    _python("gateway.keys", "list", "--file", str(data_folder().resolve() / "keys.json"))


@keys.command("disable")
def disable_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Let a key in no longer."""
    _python("gateway.keys", "disable", "--file", str(data_folder().resolve() / "keys.json"), key_id)


def health(as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False) -> None:
    """Every service at a glance. Exits with 1 unless all is well."""
    answer = run(lambda bureau: bureau.health())
    show(answer, as_json=as_json, table=lambda: _health_table(answer))
    if answer.status is not HealthStatus.OK:
        raise typer.Exit(1)


def doctor() -> None:
    """Look for what keeps Bureau from running well here, and say what to do about it."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("settings", _found_address),
        ("file modes", _private_files),
        ("disk", _free_disk),
        ("sessions", _whole_sessions),
        ("services", _all_services),
    ]
    rows, failed = [], False
    for name, check in checks:
        try:
            rows.append((name, "ok", check()))
        except _Problem as problem:
            failed = True
            rows.append((name, "!!", str(problem)))
    console.print(table(("check", "", "finding"), rows))
    if failed:
        raise typer.Exit(1)


class _Problem(Exception):
    """What is wrong, and what to do."""


def _found_address() -> str:
    try:
        return address().url
    except NotConfigured as error:
        raise _Problem(str(error)) from None


def _private_files() -> str:
    folder = data_folder()
    secrets = [folder / "client.env", folder / "keys.json", *(folder / "secrets").glob("*")]
    exposed = [str(path) for path in secrets if path.exists() and path.stat().st_mode & 0o077]
    if exposed:
        raise _Problem(f"others can read {', '.join(exposed)}: chmod 600")
    return "secrets are readable by you alone"


def _free_disk() -> str:
    folder = data_folder()
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    if free < 500_000_000:
        raise _Problem(f"{free // 1_000_000} MB left beside {folder}: stores need room to write")
    return f"{free // 1_000_000_000} GB free"


def _whole_sessions() -> str:
    """Reads all of the sessions' own file, which a running service does only for a few seconds at its start."""
    path = data_folder() / "sessions" / "sessions.db"
    if aside := sorted(each.name for each in path.parent.glob(f"{path.name}.damaged-*")):
        raise _Problem(f"set aside as damaged, in {path.parent}: {', '.join(aside)}; restore or remove")
    if not path.exists():
        return "no file of their own here"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as file:
            found = [str(row[0]) for row in file.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        raise _Problem(f"{path} cannot be read: {error}; the newest copy is in {path.parent / 'backups'}") from None
    if found != ["ok"]:
        raise _Problem(f"{path} is damaged ({'; '.join(found)}); the newest copy is in {path.parent / 'backups'}")
    return f"{path} is whole"


def _all_services() -> str:
    try:
        answer = run(lambda bureau: bureau.health())
    except typer.Exit:
        raise _Problem("the gateway does not answer: 'bureau up', then look at 'bureau logs'") from None
    wrong = [
        f"{name} is {service.status}: {_dependencies(service) or 'no answer'}"
        for name, service in answer.services.items()
        if service.status is not HealthStatus.OK
    ]
    if wrong:
        raise _Problem("; ".join(wrong))
    return f"{len(answer.services)} services are well"


def _dependencies(service: Health) -> str:
    return ", ".join(f"{name} {state.status} {state.detail}".strip() for name, state in service.dependencies.items())


def _health_table(answer: SystemHealth) -> RenderableType:
    rows = [(name, service.status, _dependencies(service)) for name, service in answer.services.items()]
    return table(("service", "status", "depends on"), rows, title=f"Bureau is {answer.status}")


def _launch(*arguments: str) -> NoReturn:
    """Becomes the launcher, so that signals and the exit code are its own."""
    environment = launch_environment()
    _in_checkout()
    command = [sys.executable, "-m", "deploy.local", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own module


def _python(module: str, *arguments: str) -> None:
    _in_checkout()
    finished = subprocess.run([sys.executable, "-m", module, *arguments], check=False)  # noqa: S603 - our own module
    raise typer.Exit(finished.returncode)


def _in_checkout() -> None:
    """Our modules run from the root of the repository."""
    try:
        os.chdir(checkout())
    except NotConfigured as error:
        fail(str(error), EXIT_NOT_CONFIGURED)
