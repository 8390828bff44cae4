"""Runs a stack: stores, then the processes that wait for them, until it is told to stop or one of them fails.

Every store and every process has one task that starts it and stays with it. A failure ends the task group, and
everything else is stopped.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import credentials, reload
from deploy.local.console import Console
from deploy.local.credentials import Credentials
from deploy.local.errors import LaunchError, ProcessFailed
from deploy.local.files import private_folder, write_variables, write_whole
from deploy.local.lock import FolderLock
from deploy.local.logs import LogTail, keep_small
from deploy.local.ports import require_free
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import RunningProcess
from deploy.local.stack import POSTGRES, VALKEY, Process, Stack, Tier
from deploy.local.state import ProcessState, RunFolder, RunState
from deploy.local.store import EmbeddedStore
from deploy.local.valkey import EmbeddedValkey
from deploy.local.welcome import welcome

ROOT = Path(__file__).resolve().parents[2]
STORE_CLASSES: dict[str, Callable[[Path], EmbeddedStore]] = {POSTGRES: EmbeddedPostgres, VALKEY: EmbeddedValkey}
PARENTLESS_GRACE_S = 1.0
MAX_REPLACEMENTS, REPLACEMENT_WINDOW_S = 5, 60.0
STORE_VARIABLES = {POSTGRES: "DATABASE_URL", VALKEY: "REDIS_URL"}


class _StopRequested(Exception):
    """Ends the task group when the user asks for it."""


class Runner:
    """`follow` shows the processes' logs on the console; `reload` restarts what a changed source file belongs to;
    `show_key` prints the first administrator's key when this start made it; `with_parent` stops when our
    parent ends; `root` is where the processes run and their source is."""

    def __init__(
        self,
        stack: Stack,
        console: Console,
        *,
        follow: bool = True,
        reload: bool = False,
        show_key: bool = True,
        with_parent: bool = False,
        root: Path = ROOT,
    ) -> None:
        data = stack.settings.data
        self.data = data
        self.stack = stack
        self.console = console
        self.run_folder = RunFolder(data / "run")
        self._follow = follow
        self._reload = reload
        self._show_key = show_key
        self._root = root
        self._parent = os.getppid() if with_parent else None
        self._lock = FolderLock(self.run_folder.lock)
        self._stores = {name: STORE_CLASSES[name](data) for name in sorted(stack.embedded_stores())}
        self._processes: dict[str, RunningProcess] = {}
        self._tails: dict[str, LogTail] = {}
        self._deaths: dict[str, list[float]] = {}
        self._state = "starting"

    async def run(self) -> None:
        """Returns after a stop that was asked for. Raises LaunchError when the stack cannot start or a part fails."""
        self._began = time.monotonic()
        self._stop = asyncio.Event()
        self._restart_asked = asyncio.Event()
        for folder in (self.data, self.run_folder.path):
            private_folder(folder)
        await asyncio.to_thread(self._lock.acquire)
        try:
            self.run_folder.clear()  # of a launcher that was killed
            self._credentials = self._prepare()
            with self._signals():
                await self._run_until_it_ends()
        finally:
            self.run_folder.clear()
            self._lock.release()

    def _prepare(self) -> Credentials:
        addresses = {p.name: a for p in self.stack.processes if (a := self.stack.address(p))}
        require_free({name: (address.host, address.port) for name, address in addresses.items()})
        logs = private_folder(self.data / "logs")
        for process in self.stack.processes:
            if process.keeps_files:
                private_folder(self.data / process.service)
            log = logs / f"{process.name}.log"
            keep_small(log)
            self._tails[process.name] = LogTail(log)
            self._processes[process.name] = RunningProcess(
                process.name, process.command, addresses.get(process.name), log, self._root, self._lock.descriptor
            )
        for store in self._stores.values():
            keep_small(store.log)
        made = credentials.prepare(self.data, self.stack.public_url)
        write_whole(self.run_folder.pid, f"{os.getpid()}\n")
        self._write_state()
        return made

    async def _run_until_it_ends(self) -> None:
        store_ready = {name: asyncio.Event() for name in self._stores}
        failure: LaunchError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for name, store in self._stores.items():
                    group.create_task(self._keep_store(store, store_ready[name]))
                for process in self.stack.processes:
                    waits_for = [store_ready[name] for name in self.stack.stores_of(process)]
                    group.create_task(self._keep_process(process, waits_for))
                group.create_task(self._announce())
                group.create_task(self._read_logs())
                group.create_task(self._restart_when_asked())
                if self._parent is not None:
                    group.create_task(self._stop_with(self._parent))
                if self._reload:
                    group.create_task(self._restart_what_changed())
                group.create_task(self._until_told_to_stop())
        except* _StopRequested:
            pass
        except* (LaunchError, OSError) as failures:
            failure = _first(failures)
        finally:
            await self._stop_everything(failure)
        if failure:
            raise failure

    async def _until_told_to_stop(self) -> None:
        await self._stop.wait()
        raise _StopRequested

    async def _stop_with(self, parent: int) -> None:
        """`make` killed with -9 cannot tell us; being adopted does."""
        while os.getppid() == parent:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0.1)
        # Nobody is left to wait for us: what has not ended soon is killed.
        asyncio.get_running_loop().call_later(PARENTLESS_GRACE_S, self._kill_processes)
        self._stop.set()

    async def _keep_store(self, store: EmbeddedStore, ready: asyncio.Event) -> None:
        await asyncio.to_thread(store.start)
        ready.set()
        self._write_stores()
        while not store.has_stopped():  # noqa: ASYNC110 - stores are synchronous, nobody sets an event
            await asyncio.sleep(0.1)
        raise store.failure("stopped by itself")

    async def _keep_process(self, process: Process, waits_for: Iterable[asyncio.Event]) -> None:
        for store_ready in waits_for:
            await store_ready.wait()
        running = self._processes[process.name]
        environment = self._environment(process)
        while True:
            await running.start(environment)
            self._write_state()
            try:
                await running.until_ready()
                self._write_state()
                await running.until_exit()
                running.require_running()
            except ProcessFailed as failure:
                if running.restart_wanted.is_set():
                    pass
                elif process.replaceable and running.state == "ready" and self._may_replace(process):
                    self.console.complain(f"{failure}\nstarting another {process.name} …")
                    continue
                elif self._reload:
                    self.console.complain(f"{failure}\nWaiting for a change of its source …")
                else:
                    raise
            await running.restart_wanted.wait()

    def _may_replace(self, process: Process) -> bool:
        """Not when it dies again and again: then something is wrong that starting it does not mend."""
        now = time.monotonic()
        died = self._deaths.setdefault(process.name, [])
        died[:] = [moment for moment in died if now - moment < REPLACEMENT_WINDOW_S] + [now]
        return len(died) <= MAX_REPLACEMENTS

    def _environment(self, process: Process) -> dict[str, str]:
        made = self._credentials
        common = {
            "BUREAU_IDENTITY_PUBLIC_KEYS_FILE": str(made.public_key),
            "BUREAU_KEYS_FILE": str(made.keys_file),
            "BUREAU_LOG_FORMAT": "json",
            "BUREAU_LOG_LEVEL": "info",
            "PYTHONUNBUFFERED": "1",
            # Its threads spin while they wait, which costs everybody else on a small machine.
            "OPENBLAS_NUM_THREADS": "1",
        }
        private = {"BUREAU_IDENTITY_PRIVATE_KEY_FILE": str(made.private_key)}
        stores = {name: store.url for name, store in self._stores.items() if name in self.stack.stores_of(process)}
        return self.stack.environment(process, stores, common, private)

    async def _announce(self) -> None:
        for process in self._processes.values():
            await process.ready.wait()
        if self._credentials.new_key and {"registry", "gateway"} <= self._processes.keys():
            await self._register_examples(self._credentials.new_key)
        self._state = "ready"
        self._write_state()
        seconds = time.monotonic() - self._began
        addresses = {p.name: p.address.url for p in self._processes.values() if p.address}
        self.console.say(welcome(self.stack.public_url, addresses, self._credentials, seconds, self._show_key))

    async def _register_examples(self, key: str) -> None:
        from deploy.local import examples  # our client takes half a second, and only the first start needs it

        try:
            names = await examples.register(self.stack.public_url, key)
        except examples.NotRegistered as error:
            self.console.complain(f"the example agents were not registered: {error}")
        else:
            self.console.say(f"registered the example agents {', '.join(names)}")

    async def _read_logs(self) -> None:
        while True:
            self._show_new_lines()
            for tail in self._tails.values():
                keep_small(tail.path)
            await asyncio.sleep(0.1)

    def _show_new_lines(self) -> None:
        if self._follow:
            for name, tail in self._tails.items():
                for line in tail.new_lines():
                    self.console.log_line(name, line)

    async def _restart_when_asked(self) -> None:
        while True:
            await self._restart_asked.wait()
            self._restart_asked.clear()
            order = json.loads(self.run_folder.restart.read_text())
            self.run_folder.restart.unlink()
            await self._restart(order["names"], hard=order["hard"])

    async def _restart_what_changed(self) -> None:
        async for names in reload.changed_processes(self._root, self.stack.processes):
            self.console.say(f"source changed: restarting {', '.join(names)}")
            await self._restart(names)

    async def _restart(self, names: list[str], *, hard: bool = False) -> None:
        async with asyncio.TaskGroup() as group:
            for name in names:
                process = self._processes[name]
                process.restart_wanted.set()
                if hard:
                    process.kill()
                else:
                    group.create_task(process.stop())

    async def _stop_everything(self, failure: LaunchError | None) -> None:
        self._state = "stopping"
        self._write_state()
        self._show_new_lines()
        if failure:
            self.console.complain(f"{str(failure).splitlines()[0]}\nstopping everything else …")
        else:
            self.console.say("stopping … (once more: at once)")
        for tier in Tier:
            async with asyncio.TaskGroup() as group:
                for process in self.stack.processes:
                    if process.tier == tier:
                        group.create_task(self._processes[process.name].stop())
        async with asyncio.TaskGroup() as group:
            for store in self._stores.values():
                group.create_task(asyncio.to_thread(store.stop))
        self._show_new_lines()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal asks for a clean stop, a second one kills the processes (the stores still stop cleanly)."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if self._stop.is_set():
                self._kill_processes()
            self._stop.set()

        handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: self._restart_asked.set}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
            handlers[signal.SIGHUP] = stop
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _kill_processes(self) -> None:
        for process in self._processes.values():
            process.kill()

    def _write_state(self) -> None:
        processes = {
            name: ProcessState(p.state, p.pid, p.address.url if p.address else None, str(p.log))
            for name, p in self._processes.items()
        }
        self.run_folder.write(RunState(os.getpid(), self._state, self.stack.public_url, processes))

    def _write_stores(self) -> None:
        urls = {STORE_VARIABLES[name]: store.url for name, store in self._stores.items() if store.port}
        write_variables(self.run_folder.stores, urls, "The embedded stores of this run.")


def _first(group: BaseExceptionGroup[LaunchError | OSError]) -> LaunchError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, LaunchError) else LaunchError(str(error))
