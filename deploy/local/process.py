"""One running service: started, waited for, stopped. Its standard input is its lifeline: when the launcher ends,
however it ends, the pipe closes and the service stops by itself."""

import asyncio
import contextlib
import http.client
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.errors import ProcessFailed
from deploy.local.files import last_lines
from deploy.local.stack import Address

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
# What a process without a port logs when it takes work.
READY_EVENT = "worker_ready"


class RunningProcess:
    def __init__(
        self, name: str, command: Sequence[str], address: Address | None, log: Path, folder: Path, keep_open: int | None
    ) -> None:
        self.name = name
        self.command = command
        self.address = address
        self.log = log
        self.folder = folder
        self.state = "waiting"
        self.ready = asyncio.Event()
        self.restart_wanted = asyncio.Event()
        """Set by who asks for a restart; its exit is then no failure."""
        self._keep_open = keep_open
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, environment: Mapping[str, str]) -> None:
        self.state = "starting"
        self.ready.clear()
        self.restart_wanted.clear()
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which stops everybody in order
                pass_fds=() if self._keep_open is None else (self._keep_open,),
            )

    async def until_ready(self) -> None:
        """Raises ProcessFailed when it ends or takes too long."""
        answer = "nothing"
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while True:
                    self.require_running()
                    ready, answer = await self._ask()
                    if ready:
                        self.state = "ready"
                        self.ready.set()
                        return
                    await asyncio.sleep(0.03)
        except TimeoutError:
            what = f"was not ready after {READY_TIMEOUT_S:.0f} s (it answered {answer})"
            raise self.failure(what) from None

    async def until_exit(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def require_running(self) -> None:
        if self._process is not None and self._process.returncode is not None:
            raise self.failure(f"stopped by itself ({describe_exit(self._process.returncode)})")

    def failure(self, what: str) -> ProcessFailed:
        lines = last_lines(self.log, since=self._log_start)
        shown = "".join(f"\n  | {line}" for line in lines) or "\n  (none)"
        return ProcessFailed(f"{self.name} {what}\nIts last lines ({self.log}):{shown}")

    async def stop(self) -> None:
        """SIGTERM and, when that is not obeyed in time, SIGKILL. Returns when it is gone."""
        process = self._process  # a restart may put the next one in its place while we wait
        if process is None:
            return
        self.state = "stopping"
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        _kill_session(process.pid)
        await process.wait()
        if process is self._process:
            self.state = "stopped"

    def kill(self) -> None:
        if self._process is not None:
            _kill_session(self._process.pid)

    async def _ask(self) -> tuple[bool, str]:
        if self.address is None:
            ready = any(READY_EVENT in line for line in last_lines(self.log, 200, since=self._log_start))
            return ready, f"no {READY_EVENT}"
        status, text = await asyncio.to_thread(ask_health, self.address)
        return status == 200, f"{status} {text}".strip() if status else text


def _kill_session(pid: int) -> None:
    """The service and whatever it started and did not end (a tool server)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def ask_health(address: Address, timeout: float = 2.0) -> tuple[int, str]:
    """Status and beginning of the answer to GET /health; status 0 when there is none."""
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}"
    finally:
        connection.close()


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
