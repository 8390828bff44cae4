"""The memories of a turn."""

from kit.identity import Principal, acting_as
from services.runtime.recall import PAUSE_SECONDS, QUERY_CHARS, Recall, Recalled
from tests.runtime_neighbours import Recollections

ADA = Principal("acme", "ada")


async def test_memories_are_asked_for_as_the_current_user_and_never_for_all() -> None:
    memory = Recollections({("acme", "ada"): ["likes tea"], ("acme", "bob"): ["likes coffee"]})
    with acting_as(ADA):
        assert await Recall(memory, 5).about("tea") == Recalled(["mem-0"], ["likes tea"])
    assert memory.asked_for == ["ada"]


async def test_a_memory_that_is_away_is_left_alone_for_a_while_and_asked_again() -> None:
    memory, now = Recollections({("acme", "ada"): ["likes tea"]}, away=True), 100.0
    recall = Recall(memory, 5, lambda: now)
    with acting_as(ADA):
        assert await recall.about("tea") == Recalled()
        memory.away = False
        assert await recall.about("tea") == Recalled(), "a slow memory must not slow every turn"
        now += PAUSE_SECONDS
        assert (await recall.about("tea")).texts == ["likes tea"]


async def test_none_are_asked_for_when_none_are_wanted_and_a_huge_message_is_shortened() -> None:
    asked: list[str] = []

    class Watched(Recollections):
        async def search(self, q: str, *, k: int = 5, user_id: str | None = None):  # type: ignore[no-untyped-def]  # as in its base
            asked.append(q)
            return await super().search(q, k=k, user_id=user_id)

    with acting_as(ADA):
        assert await Recall(Watched(), 0).about("tea") == Recalled()
        await Recall(Watched(), 5).about("tea " * 10_000)
    assert [len(each) for each in asked] == [QUERY_CHARS]
