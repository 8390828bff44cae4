"""The whole gateway in process, over services that are in memory: no socket is opened."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from gateway.app import create_app
from gateway.fetch import Remembered
from gateway.settings import Settings
from gateway.upstream_memory import MemoryUpstream
from kit.api_keys import ApiKeyFile
from kit.identity import PRINCIPAL_HEADER, PrincipalVerifier, generate_keypair
from kit.settings import CommonSettings

PRIVATE, PUBLIC = generate_keypair()


async def service(scope: Scope, receive: Receive, send: Send) -> None:
    """Says whose request it got."""
    token = dict(scope["headers"])[PRINCIPAL_HEADER.encode()].decode()
    body = PrincipalVerifier(PUBLIC, "jobs").verify(token).subject.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
async def client(keys_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    common = CommonSettings(identity_private_key=SecretStr(PRIVATE), keys_file=keys_file)
    app: Any = create_app(Settings(common=common), MemoryUpstream({"jobs": service}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bureau") as made:
        yield made


async def test_a_request_is_authenticated_routed_and_signed(client: httpx.AsyncClient, keys_file: Path) -> None:
    key = ApiKeyFile(keys_file).create(tenant="acme", user="ada").secret
    answer = await client.get("/jobs/job-1", headers={"x-api-key": key})
    assert (answer.status_code, answer.text) == (200, "ada")


async def test_a_service_that_is_away_is_503(client: httpx.AsyncClient, keys_file: Path) -> None:
    key = ApiKeyFile(keys_file).create(tenant="acme", user="ada").secret
    answer = await client.get("/sessions", headers={"x-api-key": key})
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_away")


async def test_without_a_file_of_keys_nobody_is_let_in(keys_file: Path) -> None:
    key = ApiKeyFile(keys_file).create(tenant="acme", user="ada").secret
    app: Any = create_app(Settings(common=CommonSettings(identity_private_key=SecretStr(PRIVATE))), MemoryUpstream({}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bureau") as client:
        answer = await client.get("/jobs", headers={"x-api-key": key})
    assert answer.status_code == 401


async def test_a_remembered_value_is_made_again_once_it_is_old() -> None:
    now, made = 0.0, 0

    async def make() -> tuple[int, float]:
        nonlocal made
        made += 1
        return made, 10.0

    remembered = Remembered(make, now=lambda: now)
    assert [await remembered.get(), await remembered.get()] == [1, 1]
    now = 9.9
    assert await remembered.get() == 1
    now = 10.0
    assert await remembered.get() == 2
