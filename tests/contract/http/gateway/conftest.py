"""One gateway per module; every test meets the servers behind it as they were made."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.http.gateway.world import Keys, World, make_keys, make_world


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_world(keys: Keys) -> AsyncIterator[World]:
    async with make_world(keys) as made:
        yield made


@pytest.fixture
def world(module_world: World) -> World:
    service, raw = module_world.service, module_world.raw
    for event in (service.go, service.left, service.entered, raw.silence):
        event.clear()
    raw.requests.clear()
    service.calls = 0
    return module_world
