"""All that sessions promise, together: random doings on every store, beside a model that copies instead of sharing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from services.sessions.app import message_index
from services.sessions.store import SessionStore
from tests.session_beside import World
from tests.session_doings import Doings
from tests.session_stores import ADAPTERS, make_store, opened


@asynccontextmanager
async def _world(store: SessionStore) -> AsyncIterator[World]:
    async with opened(store):
        index = message_index(store)
        await index.open()
        try:
            yield World(store, index, asyncio.get_running_loop())
        finally:
            await index.close()


async def _try_out(store: SessionStore, examples: int, steps: int) -> None:
    async with _world(store) as world:
        profile = settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        )
        here: type[Doings] = type("Here", (Doings,), {"world": world})
        await asyncio.to_thread(run_state_machine_as_test, here, settings=profile)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_whatever_is_done_in_whatever_order_every_store_shows_what_was_done(
    adapter: str, request: pytest.FixtureRequest
) -> None:
    await _try_out(make_store(adapter, request), 80 if adapter == "memory" else 30, 25)


@pytest.mark.chaos
@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_whatever_is_done_for_long_every_store_shows_what_was_done(
    adapter: str, request: pytest.FixtureRequest
) -> None:
    await _try_out(make_store(adapter, request), 2000 if adapter == "memory" else 250, 60)
