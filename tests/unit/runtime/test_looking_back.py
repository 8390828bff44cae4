"""What a turn is shown of a long conversation, over the real sessions service."""

from collections.abc import AsyncIterator

import pytest

from bureau_contracts.sessions import NewMessage, NewSession, Role
from kit.identity import Principal, acting_as
from services.runtime.history import window
from services.runtime.looking_back import LookingBack
from tests.runtime_neighbours import World, world
from tests.session_compaction import lookup, pairs_are_whole, talk

ADA = Principal("acme", "ada")


@pytest.fixture
async def around() -> AsyncIterator[World]:
    async with world() as around:
        with acting_as(ADA):
            await around.conversations.create(NewSession(session_id="sess-1"))
            yield around


async def say(around: World, *messages: NewMessage) -> None:
    for message in messages:
        await around.conversations.add_message("sess-1", message)


def looking_back(around: World, messages: int = 200, tokens: int = 400) -> LookingBack:
    return LookingBack(around.conversations, messages, tokens)


async def test_a_short_conversation_is_shown_as_it_was(around: World) -> None:
    await say(around, *talk(5))
    assert [each.seq for each in await looking_back(around).at("sess-1")] == [1, 2, 3, 4, 5]


async def test_of_a_long_one_a_summary_comes_first_and_says_what_it_covers(around: World) -> None:
    await say(around, *talk(60))
    summary, *last = await looking_back(around).at("sess-1")
    assert (summary.role, summary.seq) == (Role.SYSTEM, last[0].seq - 1)
    assert str(summary.content).startswith(f"Summary of messages 1–{summary.seq} of this conversation")
    assert "made by: extractive" in str(summary.content)
    assert [each.seq for each in last] == list(range(summary.seq + 1, 61))
    assert window([summary, *last])[0].role is Role.SYSTEM, "a model reads it as a system message"


async def test_the_summary_is_made_once_and_read_from_then_on(around: World) -> None:
    await say(around, *talk(60))
    first = await looking_back(around).at("sess-1")
    await say(around, *talk(2, first=61))
    second = await looking_back(around).at("sess-1")
    assert second[: len(first)] == first
    assert around.to_sessions.requests.all.count("POST /sessions/sess-1/compact") == 1


async def test_a_tools_result_keeps_its_call(around: World) -> None:
    for number in range(30):
        await say(around, *talk(1, first=2 * number + 1), *lookup(number))
        assert pairs_are_whole(await looking_back(around, tokens=250).at("sess-1"))


async def test_no_messages_means_no_summary_either(around: World) -> None:
    await say(around, *talk(60))
    assert await looking_back(around, messages=0).at("sess-1") == []
    assert [each.seq for each in await looking_back(around, messages=3, tokens=4000).at("sess-1")] == [58, 59, 60]


async def test_when_nothing_can_be_summarised_what_fits_is_shown(around: World) -> None:
    await say(around, *talk(60))
    await around.conversations.delete("sess-1")  # archived: nothing in it may change
    shown = await looking_back(around).at("sess-1")
    assert [each.seq for each in shown] == list(range(61 - len(shown), 61))
    assert 0 < len(shown) < 60
