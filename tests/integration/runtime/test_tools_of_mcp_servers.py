"""From a registered MCP server to a call: the registry asks what it offers, the runtime calls it under policy."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.server.transport_security import TransportSecuritySettings

from bureau_contracts.runtime import CallStatus, ToolCalled
from bureau_contracts.tools import RegisterTool
from kit.identity import Principal
from services.registry.settings import Settings as RegistrySettings
from services.runtime.app import create_app
from services.runtime.settings import Settings
from tests.http import service_client
from tests.integration.runtime import mcp_tools
from tests.runtime_neighbours import COMMON, PRIVATE_KEY, world
from tests.servers import serving

ADA = Principal("acme", "ada")


@asynccontextmanager
async def runtime(tool: dict[str, Any], *, commands: tuple[str, ...] = ()) -> AsyncIterator[httpx.AsyncClient]:
    """With one tool source, which the registry has asked."""
    registry = RegistrySettings(common=COMMON, mcp_commands=(sys.executable,))
    async with world(registry) as around:
        app = create_app(Settings(common=COMMON, mcp_commands=commands), around.neighbours)
        async with app.router.lifespan_context(app):
            await around.register_tools(RegisterTool.model_validate({"name": "files", **tool}))
            async with service_client(app, ADA, "runtime", PRIVATE_KEY) as client:
                yield client


@pytest.fixture
async def over_http() -> AsyncIterator[httpx.AsyncClient]:
    mcp_tools.calls.clear()
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = mcp_tools.server().streamable_http_app(streamable_http_path="/mcp", transport_security=security)
    async with serving(app) as url, runtime({"source": "mcp_http", "url": f"{url}/mcp"}) as client:
        yield client


def command() -> dict[str, Any]:
    return {"source": "mcp_stdio", "command": [sys.executable, str(Path(mcp_tools.__file__)), "serve"]}


async def call(client: httpx.AsyncClient, name: str, arguments: dict[str, Any], **more: Any) -> httpx.Response:
    return await client.post(f"/agent/tools/{name}/call", json={"arguments": arguments, **more})


async def test_annotations_decide_what_runs_at_which_level_and_what_may_be_repeated(
    over_http: httpx.AsyncClient,
) -> None:
    told = {}
    for name, level in [("read", "L1"), ("append", "L2"), ("write", "L2"), ("delete", "L3")]:
        response = await call(over_http, f"files.{name}", {"path": "a"}, autonomy_level=level)
        answer = ToolCalled.model_validate_json(response.content)
        told[name] = (answer.status.value, answer.risk.value, answer.repeatable)
    assert told == {
        "read": ("completed", "read", True),
        "append": ("completed", "write", False),
        "write": ("completed", "write", True),
        "delete": ("completed", "critical", False),
    }
    ran = len(mcp_tools.calls)
    for name, level in [("read", "L0"), ("append", "L1"), ("write", "L1"), ("delete", "L2")]:
        response = await call(over_http, f"files.{name}", {"path": "a"}, autonomy_level=level)
        assert (response.status_code, response.json()["code"]) == (403, "approval_needed")
    assert len(mcp_tools.calls) == ran


async def test_arguments_are_held_to_the_schema_that_the_server_told(over_http: httpx.AsyncClient) -> None:
    response = await call(over_http, "files.read", {"path": 5})
    assert (response.status_code, response.json()["code"]) == (422, "arguments_invalid")
    response = await call(over_http, "files.rename", {"path": "a"})
    assert (response.status_code, response.json()["code"]) == (404, "tool_not_found")
    assert mcp_tools.calls == []


async def test_a_command_that_the_registry_may_start_the_runtime_may_too_only_when_it_is_told() -> None:
    async with runtime(command()) as client:
        answer = ToolCalled.model_validate_json((await call(client, "files.read", {"path": "a"})).content)
    assert answer.status is CallStatus.FAILED
    assert "RUNTIME_MCP_COMMANDS" in (answer.error or "")
    async with runtime(command(), commands=(sys.executable,)) as client:
        answer = ToolCalled.model_validate_json((await call(client, "files.read", {"path": "a"})).content)
    assert (answer.status, answer.result) == (CallStatus.COMPLETED, {"result": "content of a"})


@pytest.mark.parametrize(("idempotent", "status"), [(None, "unknown_outcome"), (True, "try_later")])
async def test_a_server_that_dies_at_work_is_asked_again_only_when_it_may_be(
    tmp_path: Path, idempotent: bool | None, status: str
) -> None:
    tool = {**command(), "idempotent": idempotent}
    witness = tmp_path / "witness"
    async with runtime(tool, commands=(sys.executable,)) as client:
        response = await call(client, "files.die", {"witness": os.fspath(witness)})
    assert response.json()["status"] == status
    assert witness.exists()
