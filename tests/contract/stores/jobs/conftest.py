"""Jobs on every adapter."""

from collections.abc import AsyncIterator

import pytest

from services.jobs.store import Bounds
from tests.job_stores import LEASE, Jobs, Open, open_memory, open_redis


@pytest.fixture(params=["memory", "redis"])
def open_jobs(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return open_memory
    url = request.getfixturevalue("redis_url")
    return lambda bounds: open_redis(bounds, url)


@pytest.fixture
async def jobs(open_jobs: Open) -> AsyncIterator[Jobs]:
    async with open_jobs(Bounds(lease_seconds=LEASE, max_losses=2)) as opened:
        yield opened
