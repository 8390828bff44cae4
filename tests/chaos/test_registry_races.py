"""A registry's clients in each other's way, over HTTP: none loses a change, and readers never wait for the disk."""

import asyncio
import os
import threading
from pathlib import Path

import httpx

from kit.clock import SystemClock
from kit.identity import Principal, generate_keypair
from services.registry.app import create_app
from services.registry.json_file import JsonFile
from services.registry.settings import Settings
from services.registry.store_json import open_json_store
from tests.chaos.registry_process import running_registry
from tests.http import service_client

CLIENTS, EDITS = 2, 25
AGENT = {"name": "counter", "http": "http://agent/turn", "tags": []}


async def test_two_clients_with_if_match_lose_no_edit(tmp_path: Path) -> None:
    """Each adds a tag of its own to the tags it has read; who comes too late reads again."""
    late = 0

    async def add_tag(client: httpx.AsyncClient, tag: str) -> None:
        nonlocal late
        while True:
            read = await client.get("/registry/agents/counter")
            answer = await client.patch(
                "/registry/agents/counter",
                json={"tags": [*read.json()["tags"], tag]},
                headers={"If-Match": read.headers["etag"]},
            )
            if answer.status_code == 200:
                return
            assert (answer.status_code, answer.json()["code"]) == (412, "revision_changed")
            late += 1

    async def add_tags(client: httpx.AsyncClient, who: int) -> None:
        for number in range(EDITS):
            await add_tag(client, f"{who}-{number}")

    async with running_registry(tmp_path / "registry.json") as registry, registry.client() as a, registry.client() as b:
        (await a.post("/registry/agents", json=AGENT)).raise_for_status()
        await asyncio.gather(*(add_tags(client, who) for who, client in enumerate((a, b))))
        record = (await a.get("/registry/agents/counter")).json()
    assert sorted(record["tags"]) == sorted(f"{who}-{number}" for who in range(CLIENTS) for number in range(EDITS))
    assert record["revision"] == 1 + CLIENTS * EDITS
    assert late > 0, "they never met"


async def test_of_changes_to_the_same_revision_exactly_one_is_made(tmp_path: Path) -> None:
    async with running_registry(tmp_path / "registry.json") as registry, registry.client() as client:
        (await client.post("/registry/agents", json=AGENT)).raise_for_status()
        for revision in range(1, 11):
            answers = await asyncio.gather(
                *(
                    client.patch(
                        "/registry/agents/counter",
                        json={"description": f"{revision} {number}"},
                        headers={"If-Match": f'"{revision}"'},
                    )
                    for number in range(8)
                )
            )
            assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]


class HangingDisk:
    """Syncs hang from `hang` until `go_on`."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self._free = threading.Event()
        self._free.set()

    def hang(self) -> None:
        self._free.clear()

    def go_on(self) -> None:
        self._free.set()

    def sync(self, descriptor: int) -> None:
        if not self._free.is_set():
            self.hangs.set()
            self._free.wait(30)
        os.fsync(descriptor)


async def test_readers_do_not_wait_for_a_write_that_hangs(tmp_path: Path) -> None:
    private, public = generate_keypair()
    settings = Settings.from_environment({"BUREAU_IDENTITY_PUBLIC_KEYS": public})
    disk = HangingDisk()
    file = JsonFile(tmp_path / "registry.json", sync=disk.sync)
    app = create_app(settings, open_store=lambda: open_json_store(file, SystemClock()))
    olga = Principal("acme", "olga", scopes=frozenset({"registry:write"}))
    async with (
        app.router.lifespan_context(app),
        service_client(app, olga, "registry", private) as client,
        asyncio.TaskGroup() as group,
    ):
        (await client.post("/registry/agents", json=AGENT)).raise_for_status()
        disk.hang()
        try:
            change = group.create_task(client.patch("/registry/agents/counter", json={"description": "new"}))
            assert await asyncio.to_thread(disk.hangs.wait, 10)
            async with asyncio.timeout(10):
                for path in ("agents/counter", "agents", "search?q=counter"):
                    for _ in range(20):
                        (await client.get(f"/registry/{path}")).raise_for_status()
                seen = (await client.get("/registry/agents/counter")).json()
            assert seen["description"] == "", "what is not durable yet was shown"
            assert not change.done()
        finally:
            disk.go_on()
        assert (await change).json()["description"] == "new"
        assert (await client.get("/registry/agents/counter")).json()["description"] == "new"
