"""The change feed between processes: a disable reaches everybody within a second, and a cut leaves no gap."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bureau.changes import Reset
from bureau.http import Caller
from bureau.registry import RegistryClient
from bureau_contracts.registry import Change, RegisterAgent
from kit.http_client import service_http
from kit.identity import Principal, PrincipalSigner, acting_as, generate_keypair
from kit.tasks import background
from tests.servers import closed_url, port_of
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
OPERATOR = Principal("acme", "olga", scopes=frozenset({"registry:write"}))
PRIVATE, PUBLIC = generate_keypair()


@contextmanager
def registry(url: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own, as an operator starts it."""
    environment = {
        **os.environ, "BUREAU_IDENTITY_PUBLIC_KEYS": PUBLIC, "BUREAU_LOG_LEVEL": "error",
        "REGISTRY_PORT": str(port_of(url)), "REGISTRY_FILE": str(file),
    }  # fmt: skip
    with subprocess.Popen([sys.executable, "-m", "kit.serve", "services.registry"], cwd=ROOT, env=environment) as run:
        try:
            yield run
        finally:
            run.kill()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[RegistryClient]:
    async with service_http(url, audience="registry", signer=PrincipalSigner(PRIVATE, "tests")) as http:
        yield RegistryClient(Caller(http, attempts=1))


class Follower:
    """One client with the change feed, and when it saw what."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        self.seen: list[tuple[Change | Reset, float]] = []

    async def follow(self) -> None:
        with acting_as(OPERATOR):
            async for change in self._registry.changes():
                self.seen.append((change, time.monotonic()))

    def at(self, name: str, enabled: bool) -> float | None:
        """When it knew that the agent is on or off."""
        hits = (at for each, at in self.seen if isinstance(each, Change) and each.name == name)
        states = [each.enabled for each, _ in self.seen if isinstance(each, Change) and each.name == name]
        return next((at for at, state in zip(hits, states, strict=True) if state is enabled), None)

    @property
    def names(self) -> list[str]:
        return [each.name for each, _ in self.seen if isinstance(each, Change)]


def agent(name: str) -> RegisterAgent:
    return RegisterAgent(name=name, http="http://127.0.0.1:1/turn")


async def answers(registry: RegistryClient) -> None:
    with acting_as(OPERATOR):
        await eventually(lambda: _answers(registry), seconds=30)


async def _answers(registry: RegistryClient) -> bool:
    try:
        await registry.change_page(0)
    except Exception:  # noqa: BLE001 - whatever it is, it is not there yet
        return False
    return True


async def test_two_clients_see_a_disable_within_a_second_and_a_kill_leaves_no_gap(tmp_path: Path) -> None:
    url, file = closed_url(), tmp_path / "registry.json"
    async with client(url) as writer, client(url) as one, client(url) as two:
        followers = [Follower(one), Follower(two)]
        with registry(url, file) as process:
            await answers(writer)
            async with background(*(each.follow() for each in followers)):
                with acting_as(OPERATOR):
                    await writer.register(agent("tickets"))
                    await eventually(lambda: all(each.at("tickets", True) for each in followers))
                    began = time.monotonic()
                    await writer.set_enabled("tickets", False)
                    await eventually(lambda: all(each.at("tickets", False) for each in followers))
                    delays = [(each.at("tickets", False) or 0) - began for each in followers]
                    assert max(delays) < 1, f"seen after {delays} s"

                    before = [f"before-{number}" for number in range(5)]
                    async with asyncio.TaskGroup() as group:
                        for name in before:
                            group.create_task(writer.register(agent(name)))
                    process.kill()
                    process.wait(10)
                    with registry(url, file):
                        await answers(writer)
                        after = [f"after-{number}" for number in range(5)]
                        for name in after:
                            await writer.register(agent(name))
                        wanted = sorted(["tickets", "tickets", *before, *after])
                        await eventually(lambda: all(len(each.names) >= len(wanted) for each in followers))
    for each in followers:
        assert sorted(each.names) == wanted, "nothing is missing, nothing comes twice"
        seqs = [change.seq for change, _ in each.seen]
        assert seqs == sorted(seqs)
        assert not [change for change, _ in each.seen if isinstance(change, Reset)]
