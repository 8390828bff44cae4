"""An id may be used again after a purge; the store tells the sessions of one id apart, on each adapter."""

from collections.abc import AsyncIterator

import pytest

from services.sessions.store import SessionStore
from tests.contract.stores.test_sessions_store import ACME, ANNA, a_session, appending
from tests.session_stores import ADAPTERS, make_store, opened


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[SessionStore]:
    async with opened(make_store(request.param, request)) as store:
        yield store


async def test_a_session_keeps_its_incarnation_through_every_change(store: SessionStore) -> None:
    record = a_session()
    await store.create(record)
    assert record.incarnation
    await store.change(ANNA, "sess-1", appending("hello"))
    assert (await store.get(ANNA, "sess-1")).incarnation == record.incarnation
    shown, _, _ = await store.view(ACME, "sess-1", messages=1, invocations=0)
    assert shown.incarnation == record.incarnation


async def test_a_session_under_a_purged_ones_id_is_a_later_one(store: SessionStore) -> None:
    await store.create(a_session())
    before = await store.get(ANNA, "sess-1")
    await store.purge(ANNA, "sess-1")
    await store.create(a_session())
    assert (await store.get(ANNA, "sess-1")).incarnation > before.incarnation
