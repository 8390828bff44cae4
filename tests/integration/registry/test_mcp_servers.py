"""MCP servers, real ones: a published package over stdio, the official server over HTTP, and all that goes wrong."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bureau_contracts.risk import Risk
from bureau_contracts.tools import ToolRecord
from kit.destinations import Destinations
from kit.mcp_connection import MOST_BYTES
from kit.secrets import Secrets
from services.registry.listing import NotListed, Offers
from services.registry.mcp_client import McpClient
from tests.integration.registry.mcp_server import good
from tests.servers import closed_url, listening, serving
from tests.waiting import eventually

SERVER = str(Path(__file__).with_name("mcp_server.py"))
PUBLISHED = str(Path(sys.executable).with_name("mcp-server-time"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATH = os.defpath


def record(**fields: Any) -> ToolRecord:
    return ToolRecord(name="files", revision=1, registered_at=NOW, updated_at=NOW, **fields)


def stdio(*command: str, **fields: Any) -> ToolRecord:
    return record(source="mcp_stdio", command=list(command), **fields)


def client(seconds: float = 30, *, secrets: dict[str, str] | None = None) -> McpClient:
    found = Secrets(secrets or {}, "BUREAU_SECRET_", None)
    return McpClient(found, Destinations(), [sys.executable, PUBLISHED], PATH, seconds)


def risks(offers: Offers) -> dict[str, Risk | None]:
    return {offer.name: offer.risk for offer in offers.tools}


def children() -> list[psutil.Process]:
    """Zombies too."""
    return psutil.Process().children(recursive=True)


async def refused(asked: McpClient, tool: ToolRecord) -> str:
    with pytest.raises(NotListed) as refusal:
        await asked.offers(tool)
    return str(refusal.value)


async def test_a_published_server_over_stdio_tells_its_tools() -> None:
    before = children()
    offers = await client().offers(stdio(PUBLISHED, "--local-timezone", "UTC"))
    assert set(risks(offers)) == {"get_current_time", "convert_time"}
    assert offers.tools[0].parameters is not None
    assert offers.tools[0].parameters["type"] == "object"
    await eventually(lambda: children() == before)


async def test_a_stdio_servers_annotations_say_how_risky_its_tools_are() -> None:
    offers = await client().offers(stdio(sys.executable, SERVER, "good"))
    assert risks(offers) == {"read": Risk.READ, "delete": Risk.CRITICAL, "append": Risk.WRITE, "stat": None}


def over_http(server: MCPServer, seen: list[dict[str, str]] | None = None, **options: Any) -> ASGIApp:
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = server.streamable_http_app(streamable_http_path="/mcp", transport_security=security, **options)

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        if seen is not None and scope["type"] == "http":
            seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await app(scope, receive, send)

    return watching


@pytest.mark.parametrize("options", [{}, {"json_response": True, "stateless_http": True}])
async def test_a_server_over_http_tells_its_tools_to_whoever_has_the_secret(options: dict[str, Any]) -> None:
    seen: list[dict[str, str]] = []
    async with serving(over_http(good(), seen, **options)) as url:
        tool = record(source="mcp_http", url=f"{url}/mcp", headers={"Authorization": "env:BUREAU_SECRET_FILES"})
        offers = await client(secrets={"BUREAU_SECRET_FILES": "Bearer s3cret"}).offers(tool)
    assert risks(offers)["delete"] is Risk.CRITICAL
    assert len(offers.tools) == 4
    assert {headers["authorization"] for headers in seen} == {"Bearer s3cret"}


def test_on_the_event_loop_that_servers_run_on_a_command_is_asked_and_ended_too(tmp_path: Path) -> None:
    before = children()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        offers = runner.run(client().offers(stdio(sys.executable, SERVER, "good")))
        assert len(offers.tools) == 4
        reason = runner.run(refused(client(), stdio(sys.executable, SERVER, "ends")))
        assert reason == "it ended before it had answered, with code 3"
        reason = runner.run(refused(client(4), stdio(sys.executable, SERVER, "hangs", str(tmp_path / "pid"))))
        assert reason == "no answer within 4 s"
        pids = [int((tmp_path / file).read_text()) for file in ("pid.server", "pid.child")]
        runner.run(eventually(lambda: gone(pids)))
        assert runner.run(refused(client(), stdio(sys.executable, SERVER, "huge"))).startswith("it says more than")
    assert children() == before


async def test_only_commands_on_the_list_are_started(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    assert "may be started" in await refused(client(), stdio("touch", str(witness)))
    assert "may be started" in await refused(client(), stdio("python3", SERVER, "good"))
    assert not witness.exists()


async def test_a_server_gets_path_and_its_secrets_and_nothing_else_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUREAU_IDENTITY_PRIVATE_KEY", "the registry's own")
    told = tmp_path / "environment"
    tool = stdio(sys.executable, SERVER, "environment", str(told), environment={"TOKEN": "env:BUREAU_SECRET_T"})
    assert "ended" in await refused(client(secrets={"BUREAU_SECRET_T": "s3cret"}), tool)
    # The last one is what Python itself sets when nothing says how text is encoded.
    assert json.loads(told.read_text()).keys() - {"LC_CTYPE"} == {"PATH", "TOKEN"}


async def test_arguments_reach_no_shell(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    await refused(client(), stdio(sys.executable, SERVER, "ends", f"; touch {witness}", f"$(touch {witness})"))
    assert not witness.exists()


async def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_server_that_hangs_is_given_up_and_killed_with_its_children(tmp_path: Path) -> None:
    before, files = children(), [tmp_path / "pid.server", tmp_path / "pid.child"]
    # Long enough for both to have said who they are, which is asserted below.
    reason = await refused(client(4), stdio(sys.executable, SERVER, "hangs", str(tmp_path / "pid")))
    assert reason == "no answer within 4 s"
    pids = [int(file.read_text()) for file in files]
    await eventually(lambda: gone(pids))
    assert children() == before


async def test_a_server_is_killed_when_whoever_asks_is_cancelled(tmp_path: Path) -> None:
    files = [tmp_path / "pid.server", tmp_path / "pid.child"]
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(client().offers(stdio(sys.executable, SERVER, "hangs", str(tmp_path / "pid"))))
        await eventually(lambda: all(file.exists() for file in files))
        began = time.monotonic()
        asking.cancel()
    assert time.monotonic() - began < 5
    pids = [int(file.read_text()) for file in files]
    await eventually(lambda: gone(pids))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("garbage", "no answer within 2 s"),
        ("huge", f"it says more than {MOST_BYTES} bytes"),
        ("ends", "it ended before it had answered, with code 3"),
    ],
)
async def test_a_server_that_goes_wrong_is_a_reason_and_leaves_no_process(kind: str, reason: str) -> None:
    before = children()
    asked = client(2 if kind == "garbage" else 30)
    assert await refused(asked, stdio(sys.executable, SERVER, kind)) == reason
    await eventually(lambda: children() == before)


def answering(body: Callable[[asyncio.StreamWriter], None]) -> Any:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            body(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    return handle


def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\n<html>")


def huge(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"x": "')
    writer.write(b"x" * (MOST_BYTES + 1))


def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"json')


def denied(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")


def elsewhere(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Elsewhere\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("body", [garbage, huge, cut, denied, elsewhere])
async def test_an_http_server_that_goes_wrong_is_a_reason(body: Callable[[asyncio.StreamWriter], None]) -> None:
    async with listening(answering(body)) as url:
        reason = await refused(client(), record(source="mcp_http", url=url))
    assert reason
    assert "no answer" not in reason
    if body is huge:
        assert reason == f"it says more than {MOST_BYTES} bytes"


async def test_an_http_server_that_is_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async with listening(silent) as url:
        assert await refused(client(0.5), record(source="mcp_http", url=url)) == "no answer within 0.5 s"


async def test_nobody_listens() -> None:
    assert "cannot be reached" in await refused(client(), record(source="mcp_http", url=closed_url()))


async def test_an_echoed_secret_does_not_come_back_as_a_reason() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        said = await request.json()
        message = f"{request.headers['authorization']} is not enough"
        await JSONResponse({"jsonrpc": "2.0", "id": said.get("id"), "error": {"code": -32000, "message": message}})(
            scope, receive, send
        )

    async with serving(echo) as url:
        tool = record(source="mcp_http", url=url, headers={"Authorization": "env:BUREAU_SECRET_FILES"})
        reason = await refused(client(5, secrets={"BUREAU_SECRET_FILES": "Bearer s3cret"}), tool)
    assert reason == "it refuses: *** is not enough"


async def test_more_tools_than_anybody_can_use_are_cut_off_and_said_so() -> None:
    server = MCPServer("many")
    for number in range(520):
        server.add_tool(lambda: "", name=f"tool_{number}", description="One of many.")
    async with serving(over_http(server)) as url:
        offers = await client().offers(record(source="mcp_http", url=f"{url}/mcp"))
    assert len(offers.tools) == 500
    assert offers.remark == "tools left out: those after the first 500"
