"""The main job through the gateway, on real stores: a message in, an answer out, and everything recorded."""

import json
import re

import httpx
import pytest

from bureau import Bureau
from bureau_contracts.health import HealthStatus
from bureau_contracts.jobs import StartJob
from bureau_contracts.memory import NewMemory
from bureau_contracts.runtime import RouteReason, TurnStatus
from bureau_contracts.sessions import Role
from examples.demo.system import System
from tests.waiting import eventually

TRACE = "0af7651916cd43dd8448eb211c80319c"
SERVICES = {"registry", "sessions", "memory", "jobs", "runtime", "evaluation"}


async def test_a_conversation_is_routed_answered_and_recorded(ada: Bureau) -> None:
    first = await ada.chat("show my tickets")
    assert (first.status, first.agents) == (TurnStatus.COMPLETED, ["tickets"])
    assert "T-1001" in first.reply
    follow_up = await ada.chat("show details", session_id=first.session_id)
    assert follow_up.agents == ["tickets"]
    assert follow_up.routing is not None
    assert follow_up.routing.reason is RouteReason.CONTINUITY

    view = await ada.sessions.get(first.session_id)
    messages = view.conversation_history
    assert [message.seq for message in messages] == list(range(1, view.session.message_count + 1))
    assert [m.content for m in messages if m.role is Role.USER] == ["show my tickets", "show details"]
    assert [m.content for m in messages if m.role is Role.ASSISTANT and m.content][-1] == follow_up.reply
    assert [each.agent_name for each in view.agents_invoked] == ["tickets", "tickets"]
    assert view.context.last_agent_called == "tickets"
    assert {m.trace_id for m in messages} == {first.trace_id, follow_up.trace_id}


async def test_a_memory_is_in_the_context_of_a_turn(ada: Bureau) -> None:
    stored = await ada.memory.store(NewMemory(text="Ada prefers python courses in the evening"))
    answer = await ada.chat("find a python course for me")
    assert stored.memory_id in answer.memories


async def test_the_same_turn_sent_twice_happens_once(ada: Bureau) -> None:
    session = await ada.sessions.create()
    first = await ada.chat("list my tickets", session_id=session.session_id, turn_id="turn-e2e-1")
    again = await ada.chat("list my tickets", session_id=session.session_id, turn_id="turn-e2e-1")
    assert again.reply == first.reply
    view = await ada.sessions.get(session.session_id)
    assert len([m for m in view.conversation_history if m.role is Role.USER]) == 1


async def test_a_disabled_agent_is_not_chosen_by_the_next_turn(ada: Bureau, admin: Bureau) -> None:
    await admin.agents.set_enabled("oxygen", False)
    try:
        answer = await ada.chat("enrol me in C-201")
        assert "oxygen" not in answer.agents
    finally:
        await admin.agents.set_enabled("oxygen", True)
    assert (await ada.chat("enrol me in C-201")).agents == ["oxygen"]


async def test_what_nobody_can_answer_is_asked_back(ada: Bureau) -> None:
    answer = await ada.chat("zxqv wobble frumious")
    assert (answer.status, answer.agents) == (TurnStatus.NEEDS_CLARIFICATION, [])


async def test_a_write_above_the_autonomy_level_is_refused_by_the_server(ada: Bureau) -> None:
    answer = await ada.chat("close ticket T-1001", autonomy_level="L1")  # type: ignore[arg-type]  # as JSON has it
    assert [call.status for call in answer.tools if call.name == "close_ticket"] == ["refused"]
    listed = await ada.chat("show ticket T-1001")
    assert "closed" not in json.dumps([call.result for call in listed.tools])


async def test_a_runbook_over_real_agents_runs_to_its_end_and_is_told_by_events(ada: Bureau) -> None:
    steps = [
        {"name": "tickets", "kind": "agent", "agent": "tickets", "message": "list my tickets"},
        {"name": "pause", "kind": "wait", "seconds": 0.2},
        {"name": "cost", "kind": "agent", "message": "what did the cloud cost in 2026-09?"},
    ]
    started = await ada.jobs.start(StartJob.model_validate({"title": "review", "steps": steps}))
    seen = [event async for event in ada.jobs.events(started.job_id)]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].status == "succeeded"
    job = await ada.jobs.get(started.job_id)
    assert job.progress == 1
    assert "T-1001" in json.dumps(job.steps[0].result)
    assert "finops" in json.dumps(job.steps[2].result)


async def test_one_trace_id_links_the_log_lines_of_every_service_of_a_turn(
    raw: httpx.AsyncClient, system: System
) -> None:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    response = await raw.post("/agent/chat", json={"message": "show my tickets"}, headers=headers)
    assert response.headers["x-trace-id"] == response.json()["trace_id"] == TRACE

    def services_with_the_trace() -> set[str]:
        lines = [line for path in system.logs.glob("*.log") for line in path.read_text().splitlines() if TRACE in line]
        return {json.loads(line)["service"] for line in lines}

    await eventually(lambda: {"gateway", "runtime", "registry", "sessions", "memory"} <= services_with_the_trace())


async def test_the_door_shows_what_is_behind_it(ada: Bureau, system: System) -> None:
    health = await ada.health()
    assert set(health.services) == SERVICES
    assert {name: each.status for name, each in health.services.items() if each.status is not HealthStatus.OK} == {}
    async with httpx.AsyncClient(base_url=system.url, trust_env=False) as anybody:
        document = (await anybody.get("/openapi.json")).json()
        assert {"/agent/chat", "/registry/agents", "/sessions", "/memory/search", "/jobs/start"} <= set(
            document["paths"]
        )
        docs = await anybody.get("/docs")
        assert (docs.status_code, docs.headers["content-type"].split(";")[0]) == (200, "text/html")
        assert (await anybody.get("/")).status_code == 200


@pytest.mark.parametrize("service", ["registry", "sessions", "memory", "jobs", "runtime", "evaluation", "gateway"])
async def test_nobody_gets_in_without_identity_neither_at_the_gateway_nor_at_a_services_own_port(
    system: System, service: str
) -> None:
    url = system.url if service == "gateway" else system.service_url(service)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as stranger:
        document = (await stranger.get("/openapi.json")).json()
        asked = 0
        for path, operations in document["paths"].items():
            if path in ("/health", "/", "/docs", "/openapi.json"):
                continue
            for method in operations:
                place = re.sub(r"{\w+}", "1", path)
                for headers in ({}, {"x-bureau-principal": "e30.e30.e30"}, {"authorization": "Bearer bk_a_b"}):
                    response = await stranger.request(method, place, headers=headers)
                    assert response.status_code == 401, f"{method} {place}"
                    assert response.headers["content-type"] == "application/problem+json"
                    asked += 1
        assert asked > 0
