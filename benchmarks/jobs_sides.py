"""The sides of the jobs benchmark: how each one's worker and producer are run, with which settings, and where.

Peers whose versions of redis-py exclude each other have an environment each, made when it is first needed.
"""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import speak

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench_cache"
STOP_SECONDS = 10


@dataclass(frozen=True)
class Side:
    """`worker` and `producer` are command lines of the side's own environment."""

    name: str
    says: str
    """The settings that matter, as they are printed."""
    worker: tuple[str, ...]
    producer: tuple[str, ...]
    records: bool = False
    """A job counts when its end is recorded in Redis, instead of when it ran."""
    peer: bool = False
    through_api: bool = False


def ours(name: str, says: str, *arguments: str, through_api: bool = False) -> Side:
    return Side(
        name,
        says,
        worker=("python", "-m", "services.jobs.worker"),
        producer=("python", "-m", "benchmarks.peers.bureau.side", *arguments),
        records=True,
        through_api=through_api,
    )


CONCURRENCY = 32
BUREAU = ours("Bureau", f"{CONCURRENCY} jobs at once, every step recorded")
BUREAU_API = ours("Bureau, POST /jobs/start", "the same, started over HTTP", "--through-the-api", through_api=True)
FIVE_STEPS = ours("Bureau, 5 steps", "the same", "--steps", "5")
BARE = Side(
    "bare stream",
    "batches of 32, nothing recorded",
    worker=("python", "-m", "benchmarks.peers.bare.side", "work"),
    producer=("python", "-m", "benchmarks.peers.bare.side"),
)


def peer(name: str, says: str, *worker: str) -> Side:
    producer = ("python", "-m", f"benchmarks.peers.{name}.side")
    return Side(name, says, worker=worker, producer=producer, peer=True)


PEERS = (
    peer(
        "taskiq",
        "stream broker with acknowledgements, 100 tasks at once (its default), uvloop, no results",
        *("taskiq", "worker", "benchmarks.peers.taskiq.side:broker", "--workers", "1"),
        *("--max-async-tasks", "100", "--log-level", "WARNING"),
    ),
    peer(
        "saq",
        f"{CONCURRENCY} at once, uvloop, ttl -1",
        *("saq", "benchmarks.peers.saq.side.settings"),
    ),
    peer(
        "arq",
        f"{CONCURRENCY} at once, uvloop, polls every 10 ms, keep_result 0",
        *("arq", "benchmarks.peers.arq.side.WorkerSettings"),
        *("--custom-log-dict", "benchmarks.peers.arq.side.QUIET"),
    ),
    peer(
        "dramatiq",
        "8 threads (its default), no results",
        *("dramatiq", "benchmarks.peers.dramatiq.side", "--processes", "1", "--threads", "8", "--skip-logging"),
    ),
)


def programs(side: Side) -> Path:
    """The folder of the programs of its environment, which is made when it is missing or out of date."""
    if not side.peer:
        return Path(sys.executable).parent
    wanted = ROOT / "benchmarks" / "peers" / side.name / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = CACHE / f"{side.name}-{digest}"
    if not (place / "complete").exists():
        print(f"installing {side.name} into {place.relative_to(ROOT)} …", flush=True)
        uv = str(Path(sys.executable).parent / "uv")
        quiet = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, place], env=quiet, check=True)
        install = [uv, "pip", "install", "-q", "--no-deps", "--python", str(place), "-r", str(wanted)]
        subprocess.run(install, env=quiet, check=True)
        (place / "complete").touch()
    return place / "bin"


@asynccontextmanager
async def running(
    command: tuple[str, ...], programs: Path, environment: Mapping[str, str], *, piped: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, and on leaving its whole group ends. `piped`: we talk with it on its standard input and output."""
    process = await asyncio.create_subprocess_exec(
        programs / command[0],
        *command[1:],
        env=os.environ | {"PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else None,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


@dataclass
class Producer:
    process: asyncio.subprocess.Process

    async def start(self, jobs: int, per_second: float = 0) -> float:
        """Jobs are in Redis when this returns; how many seconds that took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"jobs": jobs, "per_second": per_second}).encode() + b"\n")
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the producer has ended; what it said is above")
        return float(json.loads(line)["seconds"])


class Reports:
    """What the workers say of the jobs that they ran: milliseconds from before each one's start to its first line."""

    def __init__(self, pipe: Path) -> None:
        os.mkfifo(pipe)
        self.milliseconds: list[float] = []
        # Open for writing too, so that it has no end while no worker runs.
        self._descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        self._rest = b""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, self._read)
        try:
            yield
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> None:
        data = self._rest + os.read(self._descriptor, 65_536)
        whole = len(data) // speak.DELAY.size * speak.DELAY.size
        self.milliseconds += [1000 * seconds for (seconds,) in speak.DELAY.iter_unpack(data[:whole])]
        self._rest = data[whole:]
