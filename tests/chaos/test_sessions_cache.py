"""Redis is killed, frozen and flushed in the middle of writers and readers: nobody is shown less than was acknowledged.

Two replicas, each with connections of its own, on one database and one Redis. Every reader notes what was acknowledged
before it asks, by whichever replica, and what it is shown must have all of it: each message once, in order, as written.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bureau_contracts.sessions import NewMessage, NewSession, Role
from kit.clock import SystemClock
from kit.identity import Principal
from services.sessions.errors import SessionNotFound
from services.sessions.redis_link import RedisLink
from services.sessions.service import SessionsService
from services.sessions.store_cached import CachedSessionStore
from services.sessions.tails import KeptTail, Place
from services.sessions.tails_redis import RedisTails
from tests.faulty_valkey import FaultyValkey, faulty_valkey
from tests.session_stores import LASTING, make_store, opened
from tests.waiting import eventually

ANNA = Principal("acme", "anna")
WRITERS = READERS = 16
SESSIONS = 4
ROUNDS = 3


Replicas = tuple[FaultyValkey, list[SessionsService], list["CountedTails"]]


class CountedTails(RedisTails):
    def __init__(self, link: RedisLink) -> None:
        super().__init__(link, ttl_seconds=60)
        self.link, self.found = link, 0

    async def find(self, place: Place) -> KeptTail | None:
        tail = await super().find(place)
        self.found += tail is not None
        return tail


@dataclass
class Seen:
    """What became of the run."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """How many messages, by session."""
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    """What was acknowledged, by session and seq."""
    reads: int = 0
    writes: int = 0
    lives: int = 0


@pytest.fixture(params=LASTING)
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Replicas]:
    with faulty_valkey(tmp_path / "valkey") as valkey:
        tails = [CountedTails(RedisLink(valkey.url, timeout_seconds=0.3)) for _ in range(2)]
        stores = [CachedSessionStore(make_store(request.param, request), each) for each in tails]
        async with opened(stores[0]), opened(stores[1]):
            yield valkey, [SessionsService(store, SystemClock()) for store in stores], tails


async def write(sessions: list[SessionsService], seen: Seen, go_on: Callable[[], bool], number: int) -> None:
    session_id = f"sess-{number % SESSIONS}"
    while go_on():
        text = f"{number} says {seen.writes}"
        service = random.choice(sessions)
        added = await service.add_message(ANNA, session_id, NewMessage(role=Role.USER, content=text))
        assert (session_id, added.seq) not in seen.texts
        seen.texts[session_id, added.seq] = text
        seen.acknowledged[session_id] = max(seen.acknowledged[session_id], added.seq)
        seen.writes += 1
        await asyncio.sleep(0.002)


async def read(sessions: list[SessionsService], seen: Seen, go_on: Callable[[], bool], number: int) -> None:
    session_id = f"sess-{number % SESSIONS}"
    while go_on():
        least, service = seen.acknowledged[session_id], random.choice(sessions)
        if number % 2:
            view = await service.view(ANNA, session_id, 50)
            count, messages = view.session.message_count, view.conversation_history
        else:
            messages = (await service.history(ANNA, session_id, before=None, after=None, limit=50)).messages
            count = messages[-1].seq if messages else 0
        assert count >= least, f"{session_id}: {least} were acknowledged, {count} shown"
        assert [message.seq for message in messages] == list(range(max(0, count - 50) + 1, count + 1))
        for message in messages:
            assert seen.texts.get((session_id, message.seq), message.content) == message.content
        seen.reads += 1
        await asyncio.sleep(0)


async def live_and_die(sessions: list[SessionsService], seen: Seen, go_on: Callable[[], bool]) -> None:
    """One id, used again and again: what one life said must not be shown in the next."""
    while go_on():
        life = f"life {seen.lives}"
        creator, reader, remover = (random.choice(sessions) for _ in range(3))
        await creator.create(ANNA, NewSession(session_id="sess-reborn"))
        assert (await reader.view(ANNA, "sess-reborn", 50)).conversation_history == []
        for _ in range(3):
            await creator.add_message(ANNA, "sess-reborn", NewMessage(role=Role.USER, content=life))
            shown = (await reader.view(ANNA, "sess-reborn", 50)).conversation_history
            assert {message.content for message in shown} == {life}
        await remover.purge(ANNA, "sess-reborn")
        with pytest.raises(SessionNotFound):
            await reader.view(ANNA, "sess-reborn", 50)
        seen.lives += 1


async def trouble(valkey: FaultyValkey, tails: list[CountedTails]) -> None:
    for _ in range(ROUNDS):
        await used(tails)
        valkey.flush()
        await used(tails)
        valkey.freeze()
        await noticed(tails)
        valkey.thaw()
        await used(tails)
        valkey.kill()
        await noticed(tails)
        await valkey.start_again()  # with what it had written before, and nothing of what happened since
        await used(tails)


async def used(tails: list[CountedTails]) -> None:
    """Returns when both replicas have been answered out of the cache, a few more times."""
    before = [each.found for each in tails]
    await eventually(lambda: all(each.found > once + 10 for each, once in zip(tails, before, strict=True)))


async def noticed(tails: list[CountedTails]) -> None:
    """Returns when both replicas go on without the cache."""
    await eventually(lambda: all(each.link.is_away for each in tails))


async def test_nobody_is_shown_less_than_was_acknowledged_whatever_redis_does(
    replicas: Replicas,
) -> None:
    valkey, sessions, tails = replicas
    seen, over = Seen(), asyncio.Event()
    for number in range(SESSIONS):
        await sessions[0].create(ANNA, NewSession(session_id=f"sess-{number}"))
        seen.acknowledged[f"sess-{number}"] = 0

    def go_on() -> bool:
        return not over.is_set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(write(sessions, seen, go_on, number))
        for number in range(READERS):
            group.create_task(read(sessions, seen, go_on, number))
        group.create_task(live_and_die(sessions, seen, go_on))
        await trouble(valkey, tails)
        over.set()
    assert min(seen.reads, seen.writes) > 100
    assert seen.lives > 3
    for number, least in enumerate(seen.acknowledged.values()):
        for service in sessions:
            assert (await service.view(ANNA, f"sess-{number}", 1)).session.message_count == least
