"""What every index of messages promises, on each adapter."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from bureau_contracts.sessions import (
    ForkSession,
    NewMessage,
    NewSession,
    NewTurn,
    RewindSession,
    Role,
    SearchPage,
    ToolCall,
    ToolResult,
)
from kit.errors import Invalid
from kit.identity import TENANT_WIDE, Principal
from services.sessions.app import message_index
from services.sessions.branching import Branching
from services.sessions.search import LOOKED_AT, SearchService, owner_token
from services.sessions.service import SessionsService
from tests.fakes import FixedClock
from tests.session_stores import ADAPTERS, make_store, opened

ANNA = Principal("acme", "anna")
BOB = Principal("acme", "bob")
OLGA = Principal("acme", "olga", scopes=frozenset({TENANT_WIDE}))
STRANGER = Principal("globex", "anna", scopes=frozenset({TENANT_WIDE}))


@dataclass
class Bench:
    sessions: SessionsService
    branching: Branching
    searching: SearchService
    clock: FixedClock

    async def say(self, principal: Principal, session_id: str, *texts: str, role: Role = Role.USER) -> None:
        for text in texts:
            self.clock.move(1)
            await self.sessions.add_message(principal, session_id, NewMessage(role=role, content=text))

    async def search(
        self,
        principal: Principal,
        text: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        role: Role | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> SearchPage:
        return await self.searching.search(
            principal, text, user_id=user_id, session_id=session_id, role=role, limit=limit, cursor=cursor
        )

    async def hits(self, principal: Principal, text: str, **wanted: str | Role) -> list[tuple[str, int]]:
        page = await self.search(principal, text, **wanted)  # type: ignore[arg-type]  # the names are checked by running
        assert not page.indexing
        return [(hit.session_id, hit.seq) for hit in page.hits]


@pytest.fixture(params=ADAPTERS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    clock = FixedClock()
    async with opened(make_store(request.param, request)) as store:
        index = message_index(store)
        await index.open()
        bench = Bench(SessionsService(store, clock), Branching(store, clock), SearchService(index), clock)
        for principal, session_id in ((ANNA, "sess-a"), (ANNA, "sess-a2"), (BOB, "sess-b"), (STRANGER, "sess-a")):
            await bench.sessions.create(principal, NewSession(session_id=session_id))
        yield bench
        await index.close()


async def test_what_was_stored_is_found_at_once_the_latest_first(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "The cloud bill is high", "nothing", "why is the BILL so high?")
    await bench.say(ANNA, "sess-a2", "Höhe of the bill")
    assert await bench.hits(ANNA, "bill") == [("sess-a2", 1), ("sess-a", 3), ("sess-a", 1)]
    assert await bench.hits(ANNA, "high bill") == [("sess-a", 3), ("sess-a", 1)]
    assert await bench.hits(ANNA, "hohe") == [("sess-a2", 1)]
    assert await bench.hits(ANNA, "unheard") == []
    await bench.say(ANNA, "sess-a", "unheard of")
    assert await bench.hits(ANNA, "unheard") == [("sess-a", 4)]


async def test_a_phrase_needs_its_words_side_by_side(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "the bill of the cloud", "the cloud bill", "会議は十時", "議会")
    assert await bench.hits(ANNA, '"cloud bill"') == [("sess-a", 2)]
    assert await bench.hits(ANNA, "cloud-bill") == [("sess-a", 2)]
    assert await bench.hits(ANNA, "会議") == [("sess-a", 3)]


async def test_a_hit_shows_where_it_is(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "before " * 50 + "the Cloud bill " + "after " * 50)
    (hit,) = (await bench.search(ANNA, "cloud")).hits
    assert [part.text for part in hit.snippet if part.match] == ["Cloud"]
    assert 0 < hit.score < 1
    assert hit.timestamp == bench.clock.now()


async def test_parts_calls_and_results_are_found(bench: Bench) -> None:
    call = ToolCall(call_id="c1", name="find_ticket", arguments={"number": 4711})
    result = ToolResult(call_id="c1", name="find_ticket", result=[{"title": "printer jam"}])
    turn = NewTurn(
        turn_id="turn-1",
        messages=[
            NewMessage(role=Role.ASSISTANT, tool_calls=[call]),
            NewMessage(role=Role.TOOL, tool_results=[result]),
            NewMessage(role=Role.USER, content=[{"type": "text", "text": "thanks a lot"}]),
        ],
    )
    await bench.sessions.store_turn(ANNA, "sess-a", turn)
    assert await bench.hits(ANNA, "4711") == [("sess-a", 1)]
    assert await bench.hits(ANNA, "printer jam") == [("sess-a", 2)]
    assert await bench.hits(ANNA, '"thanks a lot"') == [("sess-a", 3)]


async def test_nobody_finds_what_is_out_of_reach(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "secret plan")
    await bench.say(STRANGER, "sess-a", "secret of another tenant")
    assert await bench.hits(BOB, "secret") == []
    assert await bench.hits(BOB, "secret", session_id="sess-a") == []
    assert await bench.hits(ANNA, "secret") == [("sess-a", 1)]
    assert await bench.hits(OLGA, "secret") == [("sess-a", 1)]
    assert await bench.hits(OLGA, "secret", user_id="bob") == []
    assert await bench.hits(STRANGER, "plan") == []


async def test_whoever_writes_anothers_token_is_not_found_by_it(bench: Bench) -> None:
    token = owner_token(ANNA.reach())
    await bench.say(BOB, "sess-b", f"{token} {token.replace(':', ' ')} trap")
    assert await bench.hits(ANNA, "trap") == []


async def test_a_search_can_be_of_one_session_and_one_role(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "red", "red")
    await bench.say(ANNA, "sess-a", "red", role=Role.ASSISTANT)
    await bench.say(ANNA, "sess-a2", "red")
    assert await bench.hits(ANNA, "red", session_id="sess-a") == [("sess-a", 3), ("sess-a", 2), ("sess-a", 1)]
    assert await bench.hits(ANNA, "red", role=Role.ASSISTANT) == [("sess-a", 3)]
    assert await bench.hits(ANNA, "red", session_id="sess-none") == []


async def test_pages_show_every_hit_once(bench: Bench) -> None:
    turn = [NewMessage(role=Role.USER, content=f"needle {number} in hay") for number in range(LOOKED_AT + 60)]
    await bench.sessions.store_turn(ANNA, "sess-a", NewTurn(turn_id="turn-1", messages=turn))
    for text, step in (("needle", 60), ('"in hay"', 150)):
        seen: list[int] = []
        cursor = None
        for _ in range(20):
            page = await bench.search(ANNA, text, limit=step, cursor=cursor)
            seen += [hit.seq for hit in page.hits]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == list(range(LOOKED_AT + 60, 0, -1))


async def test_phrases_that_hardly_any_candidate_has_are_found_page_by_page(bench: Bench) -> None:
    turn = [NewMessage(role=Role.USER, content="bill cloud")] * (LOOKED_AT + 5)
    await bench.say(ANNA, "sess-a", "cloud bill")
    await bench.sessions.store_turn(ANNA, "sess-a", NewTurn(turn_id="turn-1", messages=turn))
    first = await bench.search(ANNA, '"cloud bill"')
    assert first.hits == []
    assert first.next_cursor is not None
    second = await bench.search(ANNA, '"cloud bill"', cursor=first.next_cursor)
    assert [(hit.seq, second.next_cursor) for hit in second.hits] == [(1, None)]


async def test_what_was_rewound_is_not_found_and_what_a_fork_shows_is(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "one apple", "two apples", "three apple")
    await bench.branching.fork(ANNA, "sess-a", ForkSession(session_id="sess-f"))
    await bench.branching.rewind(ANNA, "sess-a", RewindSession(to_seq=1))
    assert await bench.hits(ANNA, "apple", session_id="sess-a") == [("sess-a", 1)]
    assert await bench.hits(ANNA, "apple", session_id="sess-f") == [("sess-f", 3), ("sess-f", 1)]
    assert await bench.hits(ANNA, "apple") == [("sess-f", 3), ("sess-a", 1)]
    await bench.say(ANNA, "sess-a", "another apple")
    assert await bench.hits(ANNA, "apple", session_id="sess-a") == [("sess-a", 2), ("sess-a", 1)]
    await bench.sessions.purge(ANNA, "sess-a")
    assert await bench.hits(ANNA, "apple") == [("sess-f", 3), ("sess-f", 1)]
    await bench.sessions.purge(ANNA, "sess-f")
    assert await bench.hits(ANNA, "apple") == []


async def test_what_was_purged_is_not_found_though_its_id_is_used_again(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "apple")
    assert await bench.hits(ANNA, "apple") == [("sess-a", 1)]
    await bench.sessions.purge(ANNA, "sess-a")
    assert await bench.hits(ANNA, "apple") == []
    await bench.sessions.create(ANNA, NewSession(session_id="sess-a"))
    await bench.say(ANNA, "sess-a", "pear", "apple")
    assert await bench.hits(ANNA, "apple") == [("sess-a", 2)]
    assert await bench.hits(ANNA, "pear") == [("sess-a", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE messages; --", 'NEAR("a" "b")', "words:apple", "apple*", "^apple", "apple OR pear", "NOT apple",
        '"apple" AND', "a & b | !c <-> d", "t:*", "((((", "\\", "%_%", "apple\u200d", "\u202eapple", "'apple'",
    ],
)  # fmt: skip
async def test_nothing_but_words_and_quotes_means_anything(bench: Bench, text: str) -> None:
    await bench.say(BOB, "sess-b", "apple or pear and not near")
    with suppress(Invalid):  # there is no word in some of these
        assert await bench.hits(ANNA, text) == []


async def test_a_cursor_that_was_made_up_is_refused(bench: Bench) -> None:
    with pytest.raises(Invalid, match="cursor"):
        await bench.search(ANNA, "apple", cursor="bm9wZQ")


async def test_a_message_stays_its_owners_when_the_id_of_its_session_is_somebody_elses_by_now(bench: Bench) -> None:
    await bench.say(ANNA, "sess-a", "a buried treasure")
    await bench.branching.fork(ANNA, "sess-a", ForkSession(session_id="sess-f"))
    await bench.sessions.purge(ANNA, "sess-a")
    await bench.sessions.create(BOB, NewSession(session_id="sess-a"))
    await bench.say(BOB, "sess-a", "no treasure")
    assert await bench.hits(ANNA, "treasure") == [("sess-f", 1)]
    assert (
        await bench.hits(BOB, "treasure") == await bench.hits(BOB, "treasure", session_id="sess-a") == [("sess-a", 1)]
    )
    assert await bench.hits(ANNA, "treasure", session_id="sess-f") == [("sess-f", 1)]
    assert await bench.hits(OLGA, "treasure") == [("sess-a", 1), ("sess-f", 1)]
