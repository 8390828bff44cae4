"""kill -9 of a registry under 64 writers: what was acknowledged is there once, and nothing is left behind."""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.registry_process import RegistryProcess, running_registry
from tests.chaos.wire import Wire

WRITERS = 64
CYCLE = 6
"""A writer registers its thing, patches it four times, deletes it, and begins anew."""
FRESH_EVERY = 50
"""Of so many rounds one starts the registry as an operator does."""
FILES = {"registry.json", "registry.json.lock", *(f"registry.json.backup{n}" for n in ("", ".1", ".2"))}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "agents": {"http": "http://agent/turn"},
    "tools": {"source": "http", "url": "http://tool/call", "parameters": {"type": "object"}},
}


@dataclass
class Writer:
    """Changes one thing of its own, again and again. Its change `n` leaves the thing at revision `n`."""

    kind: str
    name: str
    acknowledged: int = 0
    in_flight: bool = False
    """One more change was asked for, and whether it happened nobody has said."""

    async def write_until_cut_off(self, url: str, acknowledge: Callable[[], None]) -> None:
        self.in_flight = True
        try:
            async with Wire(url) as wire:
                while True:
                    status, problem = await wire.ask(*self._change(self.acknowledged + 1))
                    assert status < 300, problem
                    self.acknowledged += 1
                    acknowledge()
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    def _change(self, n: int) -> tuple[str, str, dict[str, Any], int | None]:
        """Method, path, body, and the revision that is expected."""
        path, expected = f"/registry/{self.kind}/{self.name}", n - 1
        match n % CYCLE:
            case 1:
                thing = {**KINDS[self.kind], "name": self.name, "description": _description(n)}
                return "POST", f"/registry/{self.kind}", thing, None
            case 0:
                return "DELETE", path, {}, expected
            case _:
                return "PATCH", path, {"description": _description(n)}, expected

    def found_as(self, thing: Mapping[str, Any] | None) -> bool:
        """Takes up what a restart has left; whether an unacknowledged change had happened."""
        seen = (thing["revision"], thing["description"]) if thing else None
        possible = [self.acknowledged, self.acknowledged + 1] if self.in_flight else [self.acknowledged]
        (found,) = [n for n in possible if _left_by(n) == seen] or pytest.fail(f"{self} was found as {seen}")
        happened, self.acknowledged, self.in_flight = found > self.acknowledged, found, False
        return happened


def _description(n: int) -> str:
    return f"change {n} " + "x" * 500


def _left_by(n: int) -> tuple[int, str] | None:
    return (n, _description(n)) if n % CYCLE else None


@pytest.mark.parametrize("rounds", [5, pytest.param(1000, marks=pytest.mark.chaos)])
async def test_every_acknowledged_change_survives_kill_9(tmp_path: Path, rounds: int) -> None:
    writers = [Writer(kind, f"{kind}-{n}") for kind in KINDS for n in range(WRITERS // len(KINDS))]
    chance = random.Random(rounds)
    happened = []
    for number in range(rounds + 1):
        async with running_registry(tmp_path / "registry.json", fresh=number % FRESH_EVERY == 1) as registry:
            assert set(os.listdir(tmp_path)) <= FILES
            happened += await _check(registry, writers)
            if number < rounds:
                await _kill_amid_writes(registry, writers, chance)
        _every_version_is_whole(tmp_path)
    assert sum(writer.acknowledged for writer in writers) > rounds
    # The kills came where they hurt: some took a change that was on its way, some only its answer.
    assert rounds < 100 or 0 < sum(happened) < len(happened)


async def _check(registry: RegistryProcess, writers: list[Writer]) -> list[bool]:
    """Of each change that was in flight, whether it happened. There must be nothing that nobody made."""
    async with registry.client() as client:
        health = (await client.get("/health")).json()
        assert health["status"] == "ok", health
        found = {kind: await _all(client, kind) for kind in KINDS}
    flying = [writer.in_flight for writer in writers]
    happened = [writer.found_as(found[writer.kind].pop(writer.name, None)) for writer in writers]
    assert not any(found.values())
    return [each for each, flew in zip(happened, flying, strict=True) if flew]


async def _all(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    answer = (await client.get(f"/registry/{kind}", params={"limit": 200})).raise_for_status().json()
    return {thing["name"]: thing for thing in answer[kind]}


async def _kill_amid_writes(registry: RegistryProcess, writers: list[Writer], chance: random.Random) -> None:
    left, enough = chance.randint(1, 200), asyncio.Event()

    def acknowledge() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            enough.set()

    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write_until_cut_off(registry.url, acknowledge))
        await enough.wait()
        await asyncio.sleep(chance.uniform(0, 0.01))  # so that the kill is not always as close behind an answer
        registry.kill()


def _every_version_is_whole(folder: Path) -> None:
    for path in folder.glob("registry.json*"):
        if path.suffix not in {".lock", ".new"}:
            json.loads(path.read_bytes())
