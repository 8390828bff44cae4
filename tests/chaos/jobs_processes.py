"""Jobs as an operator runs them: API replicas, workers, their Redis and a target, each a process that can be killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import httpx
from pydantic import TypeAdapter

from bureau.http import Caller
from bureau.jobs import JobsClient
from kit.identity import ADMIN, PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from tests.chaos.forks import forked
from tests.chaos.jobs_target import Asked
from tests.faulty_valkey import FaultyValkey, faulty_valkey
from tests.servers import port_of
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
WORKERS = 4
ADMINISTRATOR = Principal("acme", "olga", scopes=frozenset({ADMIN}))

_PRIVATE, _PUBLIC = generate_keypair()
_SIGNER = PrincipalSigner(_PRIVATE, "tests")
_ASKED = TypeAdapter(dict[str, list[Asked]])


class JobsProcess:
    """An API or a worker."""

    def __init__(self, name: str, package: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self._package, self._environment = package, environment
        self._running = ExitStack()
        self.pid = 0

    def start(self) -> None:
        self.pid = self._running.enter_context(forked(self._package, self._environment, self.log))

    def kill(self) -> None:
        """With signal 9; nothing when it does not run."""
        self._running.close()


@dataclass
class Kill:
    """What was killed, and from when till when it was away; seconds since 1970."""

    name: str
    pid: int
    at: float
    back: float = 0


@dataclass
class JobsStack:
    valkey: FaultyValkey
    apis: list[JobsProcess]
    workers: list[JobsProcess]
    urls: list[str]
    """Of the API's replicas."""
    target: str
    kills: list[Kill] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    """Processes that were away and came back."""

    def client(self, principal: Principal = ADMINISTRATOR) -> httpx.AsyncClient:
        """Each request goes to one of the replicas by chance."""

        async def sign(request: httpx.Request) -> None:
            request.headers[PRINCIPAL_HEADER] = _SIGNER.sign(principal, "jobs")

        return httpx.AsyncClient(
            base_url="http://jobs", transport=_Replicas(self.urls), timeout=10, event_hooks={"request": [sign]}
        )

    async def asked(self) -> list[Asked]:
        """Everything that the target was asked so far."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return _ASKED.validate_json((await client.get(f"{self.target}/asked")).content)["asked"]

    async def kill(self, process: JobsProcess, away_seconds: float) -> None:
        """Kill -9; it is started again after a while, but not waited for."""
        pid, at = process.pid, time.time()
        process.kill()
        await asyncio.sleep(away_seconds)
        process.start()
        self.kills.append(Kill(process.name, pid, at, time.time()))

    async def stop(self, process: JobsProcess, seconds: float) -> None:
        """It does nothing for a while, and then goes on as if no time had passed."""
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)
        self.stopped.append(process.pid)

    async def kill_valkey(self, away_seconds: float) -> None:
        at = time.time()
        self.valkey.kill()
        await eventually(lambda: not self.valkey.answers())
        await asyncio.sleep(away_seconds)
        await self.valkey.start_again()
        self.kills.append(Kill("valkey", 0, at, time.time()))

    async def ready(self) -> None:
        """Returns when every process does its work."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            for url in self.urls:
                await eventually(partial(_answers, client, url), seconds=START_SECONDS)
        async with self.client() as client:
            jobs = JobsClient(Caller(client))

            async def all_work() -> bool:
                alive = " ".join(worker.worker_id for worker in (await jobs.workers()).workers)
                return all(f"-{worker.pid}-" in alive for worker in self.workers)

            await eventually(all_work, seconds=START_SECONDS)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health")).status_code == 200
    except httpx.TransportError:
        return False


class _Replicas(httpx.AsyncHTTPTransport):
    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__(verify=False)  # there is no TLS, and its set-up takes longer than a call
        self._urls, self._chance = [httpx.URL(url) for url in urls], Random()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        replica = self._chance.choice(self._urls)
        request.url = request.url.copy_with(host=replica.host, port=replica.port)
        return await super().handle_async_request(request)


@asynccontextmanager
async def jobs_stack(
    folder: Path,
    *,
    seed: int = 0,
    trouble: float = 0,
    delays: tuple[float, float] = (0, 0.2),
    **settings: object,
) -> AsyncIterator[JobsStack]:
    """Two replicas of the API. A setting of jobs by its name (`lease_seconds=1`), of the environment in capitals."""
    with ExitStack() as started:
        valkey = started.enter_context(faulty_valkey(folder / "valkey", fast=False))
        target = started.enter_context(_target(seed, trouble, delays))
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("BUREAU_", "JOBS_"))}
        environment = plain | {
            "BUREAU_IDENTITY_PUBLIC_KEYS": _PUBLIC,
            "BUREAU_IDENTITY_PRIVATE_KEY": _PRIVATE,
            "JOBS_REDIS_URL": valkey.url,
            "JOBS_HTTP_ALLOWED": target,
            **{name if name.isupper() else f"JOBS_{name.upper()}": str(value) for name, value in settings.items()},
        }
        urls = [f"http://127.0.0.1:{port}" for port in _lasting_ports(2)]
        stack = JobsStack(valkey, [], [], urls, target)
        for number, url in enumerate(urls):
            own = environment | {"JOBS_PORT": str(port_of(url)), "BUREAU_LOG_LEVEL": "warning"}
            stack.apis.append(JobsProcess(f"api-{number}", "services.jobs", own, folder))
        for number in range(WORKERS):
            stack.workers.append(JobsProcess(f"worker-{number}", "services.jobs.worker", environment, folder))
        for process in (*stack.apis, *stack.workers):
            started.callback(process.kill)
            process.start()
        await stack.ready()
        yield stack


def _lasting_ports(count: int) -> list[int]:
    """Free, and below those that systems give to whoever asks for any: what is killed finds its port free again. Who
    knocks at a closed port of those may even be connected to himself."""
    found = list[int]()
    while len(found) < count:
        port = Random().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


@contextmanager
def _target(seed: int, trouble: float, delays: tuple[float, float]) -> Iterator[str]:
    """Its address."""
    shortest, longest = delays
    options = {"seed": seed, "trouble": trouble, "shortest": shortest, "longest": longest}
    command = [sys.executable, "-m", "tests.chaos.jobs_target", *(f"--{name}={it}" for name, it in options.items())]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
