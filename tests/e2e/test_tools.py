"""Tools are called through the gateway, as a user calls them."""

import json

import pytest
from typer.testing import CliRunner

from bureau import Bureau
from bureau.cli import app
from bureau.errors import Forbidden, NotFound
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import CallStatus
from bureau_contracts.tools import RegisterTool
from examples.demo.system import System
from tests.servers import serving
from tests.tool_target import Target


async def test_a_registered_tool_and_an_agents_own_are_called_under_policy(ada: Bureau, admin: Bureau) -> None:
    target = Target()
    async with serving(target) as url:
        tool = {"name": "e2e-weather", "source": "http", "url": f"{url}/echo", "parameters": {"type": "object"}}
        await admin.tools.register(RegisterTool.model_validate(tool))
        try:
            called = await ada.runtime.call_tool("e2e-weather", {"city": "Ulm"}, idempotency_key="once")
            with pytest.raises(Forbidden) as refused:
                await ada.runtime.call_tool("e2e-weather", {"city": "Ulm"}, autonomy_level=AutonomyLevel.L1)
        finally:
            await admin.tools.delete("e2e-weather")
    assert (called.status, called.result["body"]) == (CallStatus.COMPLETED, {"city": "Ulm"})
    assert refused.value.code == "approval_needed"
    assert target.keys == ["once"]
    with pytest.raises(NotFound):
        await ada.runtime.call_tool("e2e-weather")
    own = await ada.runtime.call_tool("tickets/list_tickets", autonomy_level=AutonomyLevel.L1)
    assert (own.status, own.agent) == (CallStatus.COMPLETED, "tickets")
    assert "tickets/list_tickets" in [each.address for each in (await ada.runtime.tools()).tools]


def test_the_command_line_calls_a_tool(system: System, ada_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_URL", system.url)
    monkeypatch.setenv("BUREAU_API_KEY", ada_key)
    called = CliRunner().invoke(app, ["tools", "call", "tickets/list_tickets", "{}", "--level", "L1", "--json"])
    assert called.exit_code == 0, called.output
    assert json.loads(called.output)["status"] == "completed"
    refused = CliRunner().invoke(app, ["tools", "call", "tickets/list_tickets", "--level", "L0"])
    assert refused.exit_code == 1
    assert "approval_needed" in refused.output
    assert CliRunner().invoke(app, ["tools", "call", "tickets/list_tickets", "[]"]).exit_code == 1
