"""Registry processes for tests that kill them: each is `kit.serve services.registry` on a port and a file of its own.

A fresh one starts as an operator starts it; the others are forks, which are quicker.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from tests.chaos.forks import forked
from tests.servers import closed_url, port_of

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20
OPERATOR = Principal("acme", "olga", scopes=frozenset({"registry:write"}))

_PRIVATE, _PUBLIC = generate_keypair()
_SIGNER = PrincipalSigner(_PRIVATE, "tests")


@dataclass(frozen=True)
class RegistryProcess:
    url: str
    pid: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def client(self) -> httpx.AsyncClient:
        """Calls it as an operator of one tenant, for a minute: then the token has expired."""
        transport = httpx.AsyncHTTPTransport(verify=False)  # there is no TLS, and its set-up takes longer than a round
        return httpx.AsyncClient(base_url=self.url, headers=identity(), transport=transport, timeout=20)


def identity() -> dict[str, str]:
    """The header that makes a request the operator's."""
    return {PRINCIPAL_HEADER: _SIGNER.sign(OPERATOR, "registry")}


@asynccontextmanager
async def running_registry(
    file: Path, *, fresh: bool = False, inside: Sequence[str] = ()
) -> AsyncIterator[RegistryProcess]:
    """A registry that answers; killed at the end, if the test has not done so. `inside` is a command to start it with,
    one that becomes what it starts."""
    url = closed_url()
    environment = {
        "BUREAU_IDENTITY_PUBLIC_KEYS": _PUBLIC,
        "BUREAU_LOG_LEVEL": "error",
        "REGISTRY_PORT": str(port_of(url)),
        "REGISTRY_FILE": str(file),
    }
    with _started(environment, inside) if fresh or inside else forked("services.registry", environment) as pid:
        process = RegistryProcess(url, pid)
        await _listens(process)
        yield process


@contextmanager
def _started(environment: Mapping[str, str], inside: Sequence[str]) -> Iterator[int]:
    command = [*inside, sys.executable, "-m", "kit.serve", "services.registry"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}) as process:
        try:
            yield process.pid
        finally:
            process.kill()


async def _listens(process: RegistryProcess) -> None:
    """It opens its port when it has loaded its file."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port_of(process.url))
            except ConnectionRefusedError:
                os.kill(process.pid, 0)  # fails when it has ended instead
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
