"""Prompts kept through the change feed of a real registry, over a line that is cut, goes silent, and comes back."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bureau import prompt_cache
from bureau.errors import Unavailable
from bureau.http import Caller
from bureau.prompt_cache import PromptCache
from bureau.registry import RegistryClient
from bureau_contracts.prompts import NewPromptVersion
from kit.clock import SystemClock
from kit.http_client import service_http
from kit.identity import Principal, PrincipalSigner, acting_as, generate_keypair
from kit.tasks import background
from services.runtime.agents import AgentBroken
from services.runtime.prompts import Prompts
from tests.integration.memory.tcp_proxy import TcpProxy
from tests.servers import closed_url, port_of
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
OPERATOR = Principal("acme", "olga", scopes=frozenset({"registry:write"}))
STRANGER = Principal("globex", "gil")
PRIVATE, PUBLIC = generate_keypair()
BOUND = 1.5
"""Seconds, in place of TRUSTED_SECONDS."""


@contextmanager
def registry(url: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ, "BUREAU_IDENTITY_PUBLIC_KEYS": PUBLIC, "BUREAU_LOG_LEVEL": "error",
        "REGISTRY_PORT": str(port_of(url)), "REGISTRY_FILE": str(file),
    }  # fmt: skip
    with subprocess.Popen([sys.executable, "-m", "kit.serve", "services.registry"], cwd=ROOT, env=environment) as run:
        try:
            yield run
        finally:
            run.kill()


@dataclass
class Reader:
    """A client with a cache, and which of its requests were for a prompt."""

    cache: PromptCache
    registry: RegistryClient
    reads: list[str] = field(default_factory=list)

    async def live(self) -> int:
        return (await self.cache.version("greeting", "live")).version

    async def kept(self) -> int | None:
        """What it answers of itself; None when it asks the registry."""
        before = len(self.reads)
        try:
            async with asyncio.timeout(0.2):
                version = await self.live()
        except (TimeoutError, Unavailable):
            return None
        return version if len(self.reads) == before else None

    async def reaches(self, version: int) -> bool:
        """Sees it, once the line is there again."""
        try:
            return await self.live() == version
        except Unavailable:
            return False

    async def sees(self, version: int) -> bool:
        return await self.live() == version

    async def keeps(self) -> bool:
        """Whether it answers without a question to the registry."""
        await self.live()
        before = len(self.reads)
        await self.live()
        return len(self.reads) == before


@asynccontextmanager
async def reader(url: str, *, follow: bool = True) -> AsyncIterator[Reader]:
    async with service_http(url, audience="registry", signer=PrincipalSigner(PRIVATE, "tests")) as http:
        client = RegistryClient(Caller(http, attempts=1))
        found = Reader(PromptCache(client), client)

        async def note(request: httpx.Request) -> None:
            if request.url.path.startswith("/registry/prompts/") and request.method == "GET":
                found.reads.append(request.url.path)

        http.event_hooks["request"].append(note)
        async with background(*([found.cache.follow()] if follow else [])):
            yield found


async def publish(operator: RegistryClient) -> None:
    async def there() -> bool:
        try:
            await operator.change_page(0)
        except Exception:  # noqa: BLE001 - whatever it is, it is not there yet
            return False
        return True

    await eventually(there, seconds=30)
    for text in ("one", "two", "three"):
        await operator.prompts.add("greeting", NewPromptVersion(text=text, owner="acme"))
    await operator.prompts.set_label("greeting", "live", 1)


async def test_a_moved_label_is_seen_within_a_second_and_an_unchanged_prompt_costs_no_call(tmp_path: Path) -> None:
    url = closed_url()
    with acting_as(OPERATOR), registry(url, tmp_path / "registry.json") as process:
        async with reader(url) as operator:
            await publish(operator.registry)
            await eventually(operator.keeps)
            reads = len(operator.reads)
            for _ in range(1000):
                assert await operator.live() == 1
            assert len(operator.reads) == reads
            for version in (2, 3, 1):
                began = time.monotonic()
                await operator.registry.prompts.set_label("greeting", "live", version)
                await eventually(lambda wanted=version: operator.sees(wanted))  # type: ignore[misc]  # bound now
                assert time.monotonic() - began < 1
            process.kill()
            process.wait(10)
            assert await operator.live() == 1, "within the bound a cut is not felt"
            with registry(url, tmp_path / "registry.json"):
                await eventually(lambda: moved(operator.registry, 2), seconds=30)
                await eventually(lambda: operator.sees(2))
                await eventually(operator.keeps)


async def moved(client: RegistryClient, version: int) -> bool:
    try:
        await client.prompts.set_label("greeting", "live", version)
    except Exception:  # noqa: BLE001 - it is still starting
        return False
    return True


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "cut"])
async def test_behind_a_bad_line_nothing_is_older_than_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setattr(prompt_cache, "TRUSTED_SECONDS", BOUND)
    monkeypatch.setattr(prompt_cache, "WAIT_SECONDS", BOUND / 3)
    url, proxy = closed_url(), TcpProxy()
    with acting_as(OPERATOR), registry(url, tmp_path / "registry.json"):
        async with reader(url) as operator, proxy.running(), reader(f"http://127.0.0.1:{proxy.port}") as behind:
            proxy.target = port_of(url)
            await publish(operator.registry)
            await eventually(behind.keeps)
            proxy.silent = silent
            if not silent:
                proxy.target = None
                proxy.cut()
            await operator.registry.prompts.set_label("greeting", "live", 2)
            changed = time.monotonic()
            stale = [changed]

            async def expired() -> bool:
                if await behind.kept() is None:
                    return True
                stale.append(time.monotonic())
                return False

            await eventually(expired)
            assert len(stale) > 1, "at first the cut is not felt"
            assert stale[-1] - changed < BOUND + 0.1
            proxy.silent, proxy.target = False, port_of(url)
            proxy.cut()
            await eventually(lambda: behind.reaches(2), seconds=30)
            await eventually(behind.keeps)


async def test_a_runtime_gives_no_tenant_what_it_keeps_for_another(tmp_path: Path) -> None:
    url = closed_url()
    with registry(url, tmp_path / "registry.json"):
        async with reader(url, follow=False) as runtime:
            with acting_as(OPERATOR):
                await publish(runtime.registry)
            prompts = Prompts(runtime.registry, SystemClock())

            async def kept() -> bool:
                before = len(runtime.reads)
                assert await prompts.text("greeting@live", OPERATOR) == "one"
                return len(runtime.reads) == before

            async with background(prompts.follow()):
                await eventually(kept)
                for _ in range(2):
                    with pytest.raises(AgentBroken) as refused:
                        await prompts.text("greeting@live", STRANGER)
                    assert refused.value.code == "prompt_not_found"
                assert await kept()
