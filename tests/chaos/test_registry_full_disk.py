"""A registry on a disk of one megabyte that is really full, or turns read-only.

The disk is a tmpfs in a mount namespace of its own, held by a process that does nothing else: nobody else sees it, and
it is gone with the last process inside, however the test ends. From outside it is reached through /proc.
"""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.registry.store import NOT_WRITABLE
from tests.chaos.registry_process import RegistryProcess, running_registry

HOLD_SECONDS = 120
MOUNTED = "mounted"
HOLDER = f'mount -t tmpfs -o size=1m,mode=0700 chaos "$0" && echo {MOUNTED} && exec sleep {HOLD_SECONDS}'
"""Nothing unmounts it: it ends with its namespace."""


@dataclass(frozen=True)
class SmallDisk:
    holder: int
    folder: Path
    """Where it is mounted, as its processes see it."""

    @property
    def seen(self) -> Path:
        """The same folder, as this process sees it."""
        return Path(f"/proc/{self.holder}/root{self.folder}")

    @property
    def inside(self) -> list[str]:
        """Puts a command's process onto this disk."""
        return ["nsenter", "--preserve-credentials", "--user", "--mount", f"--target={self.holder}", "--wd=."]

    def fill(self) -> None:
        with (self.seen / "ballast").open("ab", buffering=0) as ballast:
            size = 65536
            while size:
                try:
                    ballast.write(b"x" * size)
                except OSError:
                    size //= 2

    def make_room(self) -> None:
        (self.seen / "ballast").unlink()

    def make_read_only(self) -> None:
        """By a second mount over the first one: a disk with open files cannot itself turn read-only."""
        folder = str(self.folder)
        for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]):
            subprocess.run([*self.inside, *command], check=True)

    def make_writable(self) -> None:
        subprocess.run([*self.inside, "umount", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with _mounted(tmp_path) as disk:
        yield disk


@contextmanager
def _mounted(folder: Path) -> Iterator[SmallDisk]:
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", HOLDER, str(folder)]
    try:
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("mount namespaces are Linux's alone")
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stderr is not None
            if holder.stdout.readline().strip() != MOUNTED:
                pytest.skip(f"this machine does not let us mount: {holder.stderr.read().strip()}")
            yield SmallDisk(holder.pid, folder)
        finally:
            holder.kill()


def _agent(name: str, description: str = "") -> dict[str, Any]:
    return {"name": name, "description": description, "http": "http://agent/turn"}


@asynccontextmanager
async def _registry(disk: SmallDisk) -> AsyncIterator[tuple[RegistryProcess, httpx.AsyncClient]]:
    async with (
        running_registry(disk.folder / "registry.json", inside=disk.inside) as registry,
        registry.client() as client,
    ):
        yield registry, client


async def _state(client: httpx.AsyncClient) -> tuple[dict[str, Any], str]:
    """All agents, and what /health says of the whole."""
    agents = (await client.get("/registry/agents", params={"limit": 200})).raise_for_status().json()
    for agent in agents["agents"]:
        del agent["health"]  # whether it can be reached is looked at again and again, and never stored
    return agents, (await client.get("/health")).json()["status"]


def _is_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, NOT_WRITABLE)


async def test_a_full_disk_refuses_every_change_and_loses_nothing(disk: SmallDisk) -> None:
    async with _registry(disk) as (registry, client):
        for name in ("one", "two"):
            (await client.post("/registry/agents", json=_agent(name))).raise_for_status()
        before, _ = await _state(client)
        disk.fill()
        content = (disk.seen / "registry.json").read_bytes()
        for answer in [
            await client.post("/registry/agents", json=_agent("three")),
            await client.patch("/registry/agents/one", json={"description": "changed"}),
            await client.patch("/registry/agents/two/status", json={"enabled": False}),
            await client.delete("/registry/agents/two"),
        ]:
            _is_refused(answer)
        assert await _state(client) == (before, "degraded")
        assert (disk.seen / "registry.json").read_bytes() == content
        assert not (disk.seen / "registry.json.new").exists()
        registry.kill()
    async with _registry(disk) as (_, client):  # it starts on a full disk too, and reads
        assert await _state(client) == (before, "ok")
        _is_refused(await client.delete("/registry/agents/two"))
        disk.make_room()
        assert (await client.delete("/registry/agents/two")).status_code == 200
        (await client.post("/registry/agents", json=_agent("three"))).raise_for_status()
        agents, health = await _state(client)
        assert [agent["name"] for agent in agents["agents"]] == ["one", "three"]
        assert health == "ok"


async def test_a_disk_that_fills_up_by_the_registry_itself_keeps_what_was_acknowledged(disk: SmallDisk) -> None:
    async with _registry(disk) as (registry, client):
        acknowledged = 0
        while (answer := await client.post("/registry/agents", json=_agent(f"a{acknowledged}", "x" * 4000))).is_success:
            acknowledged += 1
            assert acknowledged < 200, "the disk did not fill up"
        _is_refused(answer)
        registry.kill()
    async with _registry(disk) as (_, client):
        agents, health = await _state(client)
        assert {agent["name"] for agent in agents["agents"]} == {f"a{n}" for n in range(acknowledged)}
        assert health == "ok"


async def test_a_folder_that_turns_read_only_refuses_changes_until_it_is_writable_again(disk: SmallDisk) -> None:
    async with _registry(disk) as (_, client):
        (await client.post("/registry/agents", json=_agent("one"))).raise_for_status()
        before, _ = await _state(client)
        disk.make_read_only()
        _is_refused(await client.delete("/registry/agents/one"))
        assert await _state(client) == (before, "degraded")
        disk.make_writable()
        assert (await client.delete("/registry/agents/one")).status_code == 200
        assert (await _state(client))[1] == "ok"
