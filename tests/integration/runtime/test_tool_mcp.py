"""Tools of MCP servers, real ones: over HTTP and as a command; what is sent, what comes back, how failures are told."""

import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bureau_contracts.shapes import JsonObject
from bureau_contracts.tools import ToolRecord
from kit.destinations import Destinations
from kit.mcp_connection import McpConnections
from kit.secrets import Secrets
from services.runtime.registered import Target
from services.runtime.tool_failures import OutcomeUnknown, ToolFailed, TryLater
from services.runtime.tool_mcp import IDEMPOTENCY_META, McpTool
from tests.integration.runtime import mcp_tools
from tests.servers import closed_url, serving
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = str(Path(mcp_tools.__file__))
SECRETS = {"BUREAU_SECRET_F": "Bearer s3cret"}


class Door:
    """In front of the server: what it answers to one method of the protocol, instead of the server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.method, self.status = "", 0
        self.cut = False
        self.seen: list[str] = []
        self.authorization: set[str | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope, receive)
        body = await request.body()
        method = (await request.json()).get("method", "") if body else ""
        self.seen.append(method)
        self.authorization.add(request.headers.get("authorization"))
        if method and method == self.method:
            if self.cut:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"500"),
                            (b"content-type", b"application/json")]})  # fmt: skip
                await send({"type": "http.response.body", "body": b'{"jsonrpc"', "more_body": True})
                raise ConnectionError("cut")
            return await PlainTextResponse("no", self.status, {"retry-after": "7"})(scope, receive, send)
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return messages.pop() if messages else await receive()

        return await self._app(scope, again, send)


@pytest.fixture(params=["stateful", "stateless"])
async def door(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Door, str]]:
    mcp_tools.calls.clear()
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    options: Any = {} if request.param == "stateful" else {"json_response": True, "stateless_http": True}
    app = mcp_tools.server().streamable_http_app(streamable_http_path="/mcp", transport_security=security, **options)
    made = Door(app)
    async with serving(made) as url:
        yield made, f"{url}/mcp"


def adapter(seconds: float) -> McpTool:
    connections = McpConnections(Destinations(), [sys.executable], os.defpath, commands_setting="RUNTIME_MCP_COMMANDS")
    return McpTool(connections, Secrets(SECRETS, "BUREAU_SECRET_", None), seconds)


async def call(name: str, arguments: JsonObject, *, seconds: float = 30, **fields: Any) -> Any:
    record = ToolRecord.model_validate(
        {"name": "files", "revision": 1, "registered_at": NOW, "updated_at": NOW, **fields}
    )
    return await adapter(seconds)(Target(record, name), arguments, "job-1:0")


async def over_http(url: str, name: str, arguments: JsonObject, **fields: Any) -> Any:
    return await call(name, arguments, source="mcp_http", url=url, **fields)


async def by_command(name: str, arguments: JsonObject, *more: str, **fields: Any) -> Any:
    command = [sys.executable, SERVER, *(more or ("serve",))]
    return await call(name, arguments, **{"source": "mcp_stdio", "command": command, **fields})


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


async def test_a_tool_over_http_answers_and_is_told_the_key(door: tuple[Door, str]) -> None:
    headers = {"Authorization": "env:BUREAU_SECRET_F"}
    answer = await over_http(door[1], "append", {"path": "a"}, headers=headers)
    assert answer["path"] == "a"
    assert answer["meta"][IDEMPOTENCY_META] == "job-1:0"
    assert mcp_tools.calls == [("append", "a")]
    assert door[0].authorization == {"Bearer s3cret"}


async def test_a_tool_of_a_command_answers_and_its_process_ends() -> None:
    before = children()
    assert await by_command("read", {"path": "a"}) == {"result": "content of a"}
    await eventually(lambda: children() == before)


async def test_a_started_server_gets_its_secret_which_does_not_come_back() -> None:
    environment = {"TOKEN": "env:BUREAU_SECRET_F"}
    answer = await by_command("token", {}, environment=environment)
    assert answer["result"].startswith("*** and [")
    assert set(eval(answer["result"].removeprefix("*** and "))) - {"LC_CTYPE"} == {"PATH", "TOKEN"}
    with pytest.raises(ToolFailed, match=r"a is locked, \*\*\*") as failure:
        await by_command("refuse", {"path": "a"}, environment=environment)
    assert "s3cret" not in repr(failure.value)


async def test_what_a_tool_says_of_its_failure_is_for_good(door: tuple[Door, str]) -> None:
    with pytest.raises(ToolFailed, match="a is locked") as failure:
        await over_http(door[1], "refuse", {"path": "a"})
    assert type(failure.value) is ToolFailed


async def test_a_tool_that_is_gone_is_not_asked_for(door: tuple[Door, str]) -> None:
    with pytest.raises(ToolFailed, match="has no tool 'rename' any more") as failure:
        await over_http(door[1], "rename", {"path": "a"})
    assert type(failure.value) is ToolFailed
    assert "tools/call" not in door[0].seen


async def test_arguments_that_the_server_refuses_are_for_good(door: tuple[Door, str]) -> None:
    with pytest.raises(ToolFailed) as failure:
        await over_http(door[1], "append", {"wrong": "a"})
    assert type(failure.value) is ToolFailed
    assert mcp_tools.calls == []


@pytest.mark.parametrize(
    ("method", "status", "kind"),
    [
        ("tools/list", 503, TryLater),
        ("tools/list", 500, TryLater),
        ("tools/list", 401, ToolFailed),
        ("tools/call", 429, TryLater),
        ("tools/call", 503, TryLater),
        ("tools/call", 500, OutcomeUnknown),
        ("tools/call", 403, ToolFailed),
        ("tools/call", 307, ToolFailed),
    ],
)
async def test_a_status_says_whether_trying_again_helps(
    door: tuple[Door, str], method: str, status: int, kind: type[ToolFailed]
) -> None:
    door[0].method, door[0].status = method, status
    with pytest.raises(ToolFailed, match=f"it answers {status}") as failure:
        await over_http(door[1], "append", {"path": "a"})
    assert type(failure.value) is kind
    if status in (429, 503):
        assert getattr(failure.value, "retry_after", None) == 7
    assert mcp_tools.calls == []
    assert door[0].seen.count("tools/call") <= 1, "a call is sent once"


async def test_an_answer_that_is_cut_leaves_the_outcome_open(door: tuple[Door, str]) -> None:
    door[0].method, door[0].cut = "tools/call", True
    with pytest.raises(OutcomeUnknown):
        await over_http(door[1], "append", {"path": "a"})
    assert door[0].seen.count("tools/call") == 1


async def test_nobody_listens_so_nothing_was_done() -> None:
    with pytest.raises(TryLater, match="cannot be reached"):
        await over_http(closed_url(), "append", {"path": "a"})


async def test_a_server_that_ends_while_it_works_leaves_the_outcome_open(tmp_path: Path) -> None:
    before, witness = children(), tmp_path / "witness"
    with pytest.raises(OutcomeUnknown, match="ended before it had answered, with code 7"):
        await by_command("die", {"witness": str(witness)})
    assert witness.exists()
    await eventually(lambda: children() == before)


async def test_a_server_that_never_answers_is_killed_and_the_outcome_is_open(tmp_path: Path) -> None:
    before, witness = children(), tmp_path / "witness"
    with pytest.raises(OutcomeUnknown, match="no answer within 12 s"):
        await by_command("hang", {"witness": str(witness)}, seconds=12)
    assert witness.exists(), "it had begun"
    await eventually(lambda: children() == before)


async def test_a_server_that_does_not_greet_has_done_nothing() -> None:
    before = children()
    with pytest.raises(TryLater, match="no answer within 1 s"):
        await by_command("append", {"path": "a"}, "deaf", seconds=1)
    await eventually(lambda: children() == before)


async def test_more_than_anybody_reads_leaves_the_outcome_open() -> None:
    with pytest.raises(OutcomeUnknown, match="says more than") as failure:
        await by_command("large", {})
    assert failure.value.hopeless


async def test_only_commands_on_the_list_are_started(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with pytest.raises(ToolFailed, match="RUNTIME_MCP_COMMANDS") as failure:
        await by_command("append", {}, command=["touch", str(witness)])
    assert type(failure.value) is ToolFailed
    assert not witness.exists()


async def test_a_secret_that_is_not_there_stops_the_call(door: tuple[Door, str]) -> None:
    with pytest.raises(ToolFailed, match="no such variable"):
        await over_http(door[1], "append", {"path": "a"}, headers={"Authorization": "env:BUREAU_SECRET_NONE"})
    assert door[0].seen == []
