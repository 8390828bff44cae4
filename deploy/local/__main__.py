"""The commands: `python -m deploy.local up | down | restart | logs | status`. Says what happens; `runner` does it."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy.local import lock, logs
from deploy.local.console import Console
from deploy.local.errors import LaunchError
from deploy.local.files import last_lines, private_folder, read_variables, write_whole
from deploy.local.pids import is_alive
from deploy.local.process import ask_health
from deploy.local.runner import ROOT, Runner
from deploy.local.settings import LaunchSettings
from deploy.local.stack import STACK, Address, Process, Stack
from deploy.local.state import RunFolder, RunState

DETACH_TIMEOUT_S = 150.0
DOWN_TIMEOUT_S = 45.0


def main(arguments: list[str] | None = None, rows: Iterable[Process] = STACK, root: Path = ROOT) -> int:
    """`rows` and `root` say what to run and where its source is."""
    options = _parser().parse_args(arguments)
    try:
        settings = LaunchSettings.from_environment()
        if options.command == "up":
            return up(settings, options, rows, root)
        return COMMANDS[options.command](settings, options)
    except (LaunchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m deploy.local", description="Bureau on this machine, without containers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and stay until Ctrl-C", allow_abbrev=False)
    up.add_argument("--only", default="", metavar="A,B", help="only these services, e.g. registry,sessions")
    up.add_argument("--detach", action="store_true", help="return when everything is ready, leaving it running")
    up.add_argument("--reload", action="store_true", help="restart a service when its source changes")
    up.add_argument("--quiet", action="store_true", help="do not show the services' logs (they are in the data folder)")
    up.add_argument("--with-parent", action="store_true", help="stop as well when the process that ran this ends")
    up.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)  # how --detach calls itself
    commands.add_parser("down", help="stop what `up` started, from another terminal or after --detach")
    restart = commands.add_parser("restart", help="restart services of a running stack")
    restart.add_argument("names", nargs="*", help="which ones; all when none is named")
    restart.add_argument("--hard", action="store_true", help="kill -9 instead of asking (to try what survives)")
    show = commands.add_parser("logs", help="show the services' logs")
    show.add_argument("names", nargs="*", help="which ones; all when none is named")
    show.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    show.add_argument("-n", "--lines", type=int, default=20, help="how many of each (default 20)")
    commands.add_parser("status", help="what runs, where, and how it feels")
    return parser


def up(settings: LaunchSettings, options: argparse.Namespace, rows: Iterable[Process], root: Path) -> int:
    only = [name for name in options.only.split(",") if name]
    stack = Stack(settings, rows, only)
    if options.detach:
        return _up_detached(settings, options)
    console = Console([p.name for p in stack.processes], colour=settings.colour, raw=settings.raw_logs)
    quiet = options.quiet or options.detached
    # Detached, the console is a log file, and secrets stay out of logs.
    runner = Runner(
        stack,
        console,
        follow=not quiet,
        reload=options.reload,
        show_key=not options.detached,
        with_parent=options.with_parent,
        root=root,
    )
    asyncio.run(runner.run())
    return 0


def _up_detached(settings: LaunchSettings, options: argparse.Namespace) -> int:
    """Starts this same command in a session of its own and waits until it says `ready` in the run folder."""
    log = private_folder(settings.data / "logs") / "launcher.log"
    folder = RunFolder(settings.data / "run")
    had_key = "BUREAU_API_KEY" in read_variables(settings.data / "client.env")
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--detach"]
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, *arguments, "--detached"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_ready() -> bool:
        if launcher.poll() is not None:
            raise LaunchError("\n".join(last_lines(log, 100)).split("error: ", 1)[-1])
        state = folder.read()
        return state is not None and state.pid == launcher.pid and state.state == "ready"

    try:
        _wait(is_ready, DETACH_TIMEOUT_S, "Bureau to be ready")
    except BaseException:
        launcher.terminate()
        raise
    key = read_variables(settings.data / "client.env").get("BUREAU_API_KEY")
    if key and not had_key:
        print(f"First start: made the administrator's key, kept in {settings.data / 'client.env'} (mode 0600).")
        print(f"  BUREAU_API_KEY={key}")
    print("\n".join(last_lines(log, 100)))
    return 0


def down(settings: LaunchSettings, options: argparse.Namespace) -> int:
    folder = RunFolder(settings.data / "run")
    pid = lock.holder(folder.lock)
    if pid is None:
        print(f"nothing runs on {settings.data}")
        return 0
    with contextlib.suppress(ProcessLookupError):  # it may be gone, its processes about to follow
        os.kill(pid, signal.SIGTERM)
    _wait(lambda: lock.holder(folder.lock) is None and not is_alive(pid), DOWN_TIMEOUT_S, f"pid {pid} to stop")
    print("stopped")
    return 0


def restart(settings: LaunchSettings, options: argparse.Namespace) -> int:
    folder = RunFolder(settings.data / "run")
    before = _running(settings, folder)
    names = options.names or list(before.processes)
    if unknown := sorted(set(names) - set(before.processes)):
        raise LaunchError(f"{', '.join(unknown)} does not run; {', '.join(before.processes)} do")
    write_whole(folder.restart, json.dumps({"names": names, "hard": options.hard}))
    os.kill(before.pid, signal.SIGUSR1)

    def are_new_and_ready() -> bool:
        now = _running(settings, folder)
        return all(
            now.processes[name].state == "ready" and now.processes[name].pid != before.processes[name].pid
            for name in names
        )

    _wait(are_new_and_ready, DETACH_TIMEOUT_S, f"{', '.join(names)} to be ready again")
    print(f"restarted {', '.join(names)}")
    return 0


def show_logs(settings: LaunchSettings, options: argparse.Namespace) -> int:
    files = {path.stem: path for path in sorted((settings.data / "logs").glob("*.log"))}
    if unknown := sorted(set(options.names) - set(files)):
        raise LaunchError(f"no log of {', '.join(unknown)}; there are {', '.join(files) or 'none yet'}")
    chosen = {name: path for name, path in files.items() if not options.names or name in options.names}
    console = Console(list(chosen), colour=settings.colour, raw=settings.raw_logs)
    logs.show(chosen, console.log_line, lines=options.lines, follow=options.follow)
    return 0


def status(settings: LaunchSettings, options: argparse.Namespace) -> int:
    state = _running(settings, RunFolder(settings.data / "run"))
    print(f"Bureau {state.state} at {state.url} (pid {state.pid}, data in {settings.data})")
    for name, process in state.processes.items():
        print(f"  {name:12} {process.state:9} pid {process.pid or '-':<8} {process.url or ''} {_health(process.url)}")
    return 0


def _health(url: str | None) -> str:
    if url is None:
        return ""
    host, _, port = url.removeprefix("http://").rpartition(":")
    code, text = ask_health(Address(host.strip("[]"), int(port)))
    return "healthy" if code == 200 else f"{code or 'unreachable'}: {text[:200]}"


def _running(settings: LaunchSettings, folder: RunFolder) -> RunState:
    state = folder.read()
    if state is None or lock.holder(folder.lock) is None:
        raise LaunchError(f"nothing runs on {settings.data}")
    return state


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LaunchError(f"waited {seconds:.0f} s for {what}, in vain")
        time.sleep(0.05)


COMMANDS: dict[str, Callable[[LaunchSettings, argparse.Namespace], int]] = {
    "down": down,
    "restart": restart,
    "logs": show_logs,
    "status": status,
}

if __name__ == "__main__":
    sys.exit(main())
