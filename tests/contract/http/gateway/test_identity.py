"""Nobody gets in without a key, and no service hears from anybody but the gateway who is calling."""

import httpx
import pytest
from starlette.datastructures import Headers

from bureau_contracts.problems import Problem
from kit.api_keys import ApiKeyFile
from kit.errors import Unauthenticated
from kit.identity import PRINCIPAL_HEADER, Principal, PrincipalSigner, generate_keypair
from tests.contract.http.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


def headers_of(answer: httpx.Response) -> Headers:
    """The headers that the service got."""
    return Headers(raw=[(name.encode(), value.encode()) for name, value in answer.json()["headers"]])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer bk_000000000000_wrong"},
        {"authorization": "Basic YWRhOnNlY3JldA=="},
        {"x-api-key": "nonsense"},
        {"x-api-key": "bk_\xff"},
    ],
)
@pytest.mark.parametrize("path", ["/registry/agents", "/nothing"])
async def test_no_identity_no_answer(world: World, headers: dict[str, str], path: str) -> None:
    async with httpx.AsyncClient(base_url=world.url) as client:
        answer = await client.get(path, headers=[(k.encode(), v.encode("latin-1")) for k, v in headers.items()])
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.status, problem.trace_id) == (401, 401, answer.headers["x-trace-id"])
    assert answer.headers["www-authenticate"] == "Bearer"
    assert world.service.calls == 0


async def test_a_key_is_taken_from_either_header(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.url) as client:
        bearer = await client.get("/registry/agents", headers={"authorization": f"bearer {world.keys.api_key}"})
        own = await client.get("/registry/agents", headers={"x-api-key": world.keys.api_key})
    assert (bearer.status_code, own.status_code) == (200, 200)


async def test_two_credentials_are_refused(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/registry/agents", headers={"x-api-key": world.keys.api_key})
    assert (answer.status_code, answer.json()["code"]) == (400, "several_credentials")


async def test_the_service_learns_who_calls_by_a_token_for_it_alone(world: World) -> None:
    async with world.client() as client:
        registry = headers_of(await client.get("/registry/agents"))[PRINCIPAL_HEADER]
        runtime = headers_of(await client.get("/agent/tools"))[PRINCIPAL_HEADER]
    assert world.keys.principal_of(registry, "registry") == ("acme", "ada")
    assert world.keys.principal_of(runtime, "runtime") == ("acme", "ada")
    with pytest.raises(Unauthenticated):
        world.keys.principal_of(registry, "runtime")


async def test_a_principal_sent_by_the_caller_never_passes(world: World) -> None:
    forged = PrincipalSigner(generate_keypair()[0], "gateway").sign(Principal("other", "root"), "registry")
    genuine = PrincipalSigner(world.keys.private, "gateway").sign(Principal("other", "root"), "registry")
    async with world.client() as client:
        for token in (forged, genuine):
            answer = await client.get(
                "/registry/agents",
                headers={PRINCIPAL_HEADER: token, "x-bureau-anything": "1", "connection": PRINCIPAL_HEADER},
            )
            got = headers_of(answer)
            assert [world.keys.principal_of(t, "registry") for t in got.getlist(PRINCIPAL_HEADER)] == [("acme", "ada")]
            assert "x-bureau-anything" not in got


async def test_the_key_itself_is_not_passed_on(world: World) -> None:
    async with world.client() as client:
        answer = await client.get("/registry/agents")
    assert world.keys.api_key not in answer.text


async def test_a_key_that_was_disabled_no_longer_opens(world: World) -> None:
    file = ApiKeyFile(world.keys.file)
    created = file.create(tenant="acme", user="eve")
    file.disable(created.key_id)
    async with httpx.AsyncClient(base_url=world.url) as client:
        answer = await client.get("/registry/agents", headers={"x-api-key": created.secret})
    assert (answer.status_code, answer.json()["code"]) == (401, "api_key_invalid")


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/openapi.json"])
async def test_the_open_pages_need_no_identity(world: World, path: str) -> None:
    async with httpx.AsyncClient(base_url=world.url) as client:
        answer = await client.get(path)
        asked_wrongly = await client.post(path)
    assert answer.status_code == 200
    assert len(answer.headers["x-trace-id"]) == 32
    assert asked_wrongly.status_code == 405
