"""What the gateway answers itself."""

import asyncio
import base64
import hashlib
import re

import httpx
import pytest

from bureau_contracts.health import HealthStatus, SystemHealth
from tests.contract.http.gateway.world import Keys, World, make_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def get(world: World, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=world.url) as client:
        return await client.get(path)


async def test_the_index_names_services_and_links(world: World) -> None:
    index = (await get(world, "/")).json()
    assert index["services"]["evaluation"] == ["/metrics", "/evaluations"]
    for link in index["links"].values():
        assert (await get(world, link)).status_code == 200


async def test_health_shows_every_service(keys: Keys) -> None:
    async with make_world(keys) as world:
        answer = await get(world, "/health")
    health = SystemHealth.model_validate_json(answer.content)
    assert answer.status_code == 200
    assert set(health.services) == {"registry", "sessions", "memory", "jobs", "runtime", "evaluation"}
    assert health.services["registry"].status is HealthStatus.OK
    assert health.services["memory"].dependencies["http"].detail == "memory does not accept connections"
    # Sessions answers, but not with a health document; without it no turn can run.
    assert health.services["sessions"].status is HealthStatus.UNAVAILABLE
    assert health.status is HealthStatus.UNAVAILABLE


async def test_health_is_degraded_while_only_what_can_be_missed_is_away(keys: Keys) -> None:
    async with make_world(keys) as inner:
        service = inner.service_url
        async with make_world(keys, sessions_url=service) as world:
            health = SystemHealth.model_validate_json((await get(world, "/health")).content)
    assert health.status is HealthStatus.DEGRADED


async def test_health_is_503_when_nothing_is_behind_the_door(keys: Keys) -> None:
    async with make_world(keys) as world:
        world.service.status = HealthStatus.UNAVAILABLE
        answer = await get(world, "/health")
    assert answer.status_code == 503
    assert answer.json()["services"]["registry"]["version"] == "1"


async def test_many_who_ask_for_health_cost_the_services_one_question(keys: Keys) -> None:
    async with make_world(keys) as world, httpx.AsyncClient(base_url=world.url) as client:
        await asyncio.gather(*(client.get("/health") for _ in range(20)))
        # It is asked for the registry and for the runtime.
        assert world.service.calls == 2


async def test_one_document_holds_what_every_service_that_answers_serves(world: World) -> None:
    document = (await get(world, "/openapi.json")).json()
    assert set(document["paths"]) == {"/registry/agents", "/agent/plans"}
    assert document["paths"]["/agent/plans"]["get"]["tags"] == ["runtime"]
    assert document["info"]["x-away"] == ["evaluation", "jobs", "memory", "sessions"]


async def test_the_docs_page_runs_its_own_script_and_nothing_else(world: World) -> None:
    answer = await get(world, "/docs")
    [script] = re.findall("<script>(.*?)</script>", answer.text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert not re.findall(r'(?:src|href)="https?:', answer.text)


async def test_head_of_a_page_has_no_body(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.url) as client:
        answer = await client.head("/docs")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000
