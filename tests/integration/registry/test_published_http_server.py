"""An MCP server of a published package over streamable HTTP, as a process of its own, registered through the API."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.clock import SystemClock
from kit.identity import Principal, generate_keypair
from kit.settings import CommonSettings
from services.registry.app import create_app
from services.registry.json_file import JsonFile
from services.registry.settings import Settings
from services.registry.store_json import open_json_store
from tests.http import service_client
from tests.servers import closed_url, port_of
from tests.waiting import eventually

PUBLISHED = str(Path(sys.executable).with_name("duckduckgo-mcp-server"))
PRIVATE, PUBLIC = generate_keypair()
OPERATOR = Principal("acme", "ann", scopes=frozenset({"registry:write"}))
READER = Principal("globex", "gil")
TOOLS = {"search", "fetch_content"}


@contextmanager
def published(url: str) -> Iterator[subprocess.Popen[bytes]]:
    where = ["--host", "127.0.0.1", "--port", str(port_of(url))]
    environment = {"PATH": os.defpath, "HOME": os.devnull}
    with subprocess.Popen(
        [PUBLISHED, "--transport", "streamable-http", *where],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def registry(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """An operator's client and a reader's of another tenant."""
    settings = Settings(common=CommonSettings(identity_public_keys=PUBLIC))
    app = create_app(settings, open_store=lambda: open_json_store(JsonFile(folder / "registry.json"), SystemClock()))
    async with app.router.lifespan_context(app):
        yield (
            service_client(app, OPERATOR, "registry", PRIVATE),
            service_client(app, READER, "registry", PRIVATE),
        )


async def listing(client: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.post("/registry/tools/web/refresh")).raise_for_status().json()["listing"]
    return answer


async def heard(client: httpx.AsyncClient) -> dict[str, Any]:
    """The listing, once the server has started."""

    async def answers() -> bool:
        return not (await listing(client))["error"]

    await eventually(answers, seconds=30)
    return await listing(client)


def risks(listed: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {tool["name"].removeprefix("web."): (tool["risk"], tool["risk_from"]) for tool in listed["tools"]}


@pytest.fixture
def url() -> str:
    return f"{closed_url()}/mcp"


async def test_a_published_server_is_registered_and_its_tools_are_listed_with_risks(tmp_path: Path, url: str) -> None:
    web = {"name": "web", "source": "mcp_http", "url": url, "risks": {"search": "read"}}
    async with registry(tmp_path) as (operator, reader):
        with published(url.removesuffix("/mcp")):
            (await operator.post("/registry/tools", json=web)).raise_for_status()
            listed = await heard(operator)
            assert listed["tools"][0]["parameters"]["type"] == "object"
            found = risks(listed)
            assert found.keys() >= TOOLS
            assert found["search"] == ("read", "override")
            assert found["fetch_content"] == ("write", "default"), "it annotates nothing"
            seen = (await reader.get("/registry/tools/web")).raise_for_status().json()["listing"]
            assert risks(seen) == found, "shared by all"


async def test_a_published_server_that_is_gone_is_a_reason_and_its_last_tools_stay(tmp_path: Path, url: str) -> None:
    web = {"name": "web", "source": "mcp_http", "url": url}
    async with registry(tmp_path) as (operator, _):
        (await operator.post("/registry/tools", json=web)).raise_for_status()
        never = await listing(operator)
        assert never["tools"] == []
        assert never["error"].startswith("it cannot be reached")
        with published(url.removesuffix("/mcp")) as process:
            await heard(operator)
            process.kill()
            process.wait(10)
        gone = await listing(operator)
        assert gone["error"].startswith("it cannot be reached")
        assert risks(gone).keys() >= TOOLS
        assert gone["listed_at"] is not None


async def test_a_published_server_asked_at_the_wrong_path_is_a_reason(tmp_path: Path, url: str) -> None:
    right, wrong = {"source": "mcp_http", "url": url}, {"source": "mcp_http", "url": f"{url}-elsewhere"}
    async with registry(tmp_path) as (operator, _):
        with published(url.removesuffix("/mcp")):
            (await operator.post("/registry/tools", json={"name": "web", **right})).raise_for_status()
            await heard(operator)
            (await operator.post("/registry/tools", json={"name": "lost", **wrong})).raise_for_status()
            answer = (await operator.post("/registry/tools/lost/refresh")).raise_for_status().json()["listing"]
            assert answer["error"] == "it refuses: Not Found"
            assert answer["tools"] == []
