"""Embeddings follow the agents in the background, and a search never has to wait for them."""

import asyncio
from collections.abc import Sequence

import pytest

from kit.tasks import background
from services.registry.cards import Card
from services.registry.embedder import MOST_TEXTS, Embedded, EmbedderAway
from services.registry.embeddings import PAUSE_SECONDS, TEXTS, Embeddings, texts_of
from services.registry.ranking import WORDS
from tests.waiting import eventually

FITTED = {"small": WORDS, "large": WORDS}


class FakeEmbedder:
    """The directions of a text's first letters. `model` and `away` may be changed at any time."""

    def __init__(self) -> None:
        self.model, self.away = "small", False
        self.queries: list[str] = []
        self.batches: list[list[str]] = []
        self.gate: asyncio.Event | None = None

    async def query(self, text: str) -> Embedded:
        self.queries.append(text)
        return self._embedded([text])

    async def documents(self, texts: Sequence[str]) -> Embedded:
        self.batches.append(list(texts))
        if self.gate:
            await self.gate.wait()
        return self._embedded(texts)

    def _embedded(self, texts: Sequence[str]) -> Embedded:
        if self.away:
            raise EmbedderAway("away")
        size = {"small": 128, "large": 256}.get(self.model, 128)
        return Embedded(self.model, [[float(number == ord(text[0]) % 128) for number in range(size)] for text in texts])

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def embeddings(embedder: FakeEmbedder, time: Time) -> Embeddings:
    return Embeddings(embedder, FITTED, time)


async def settle(embeddings: Embeddings) -> None:
    for _ in range(100):
        if not await embeddings.step():
            return
    raise AssertionError("does not come to an end")


async def near(embeddings: Embeddings, query: str) -> list[str]:
    meaning = await embeddings.meaning(query)
    return [name for name, amount in meaning.cosines.best_first(1, 0) if amount > 0.5] if meaning else []


async def test_agents_are_found_by_what_they_say(embeddings: Embeddings) -> None:
    embeddings.put(Card("first", "apples", examples=("bananas",)))
    embeddings.put(Card("second", examples=("cherries",)))
    embeddings.put(Card("mute"))
    assert await embeddings.meaning("a") is None
    await settle(embeddings)
    assert embeddings.waiting == 0
    assert await near(embeddings, "a") == await near(embeddings, "b") == ["first"]
    assert await near(embeddings, "c") == ["second"]
    assert await near(embeddings, "m") == ["mute"]
    embeddings.remove("first")
    embeddings.remove("first")
    assert await near(embeddings, "a") == []


async def test_only_texts_that_are_new_are_embedded(embeddings: Embeddings, embedder: FakeEmbedder) -> None:
    embeddings.put(Card("agent", examples=("apples", "bananas")))
    await settle(embeddings)
    embedder.batches.clear()
    embeddings.put(Card("agent", tags=("fruit",), examples=("apples", "bananas")))
    await settle(embeddings)
    assert embedder.batches == []
    embeddings.put(Card("agent", examples=("bananas", "cherries")))
    embeddings.put(Card("agent", examples=("bananas", "dates")))
    await settle(embeddings)
    assert embedder.batches == [["dates"]]
    assert [await near(embeddings, query) for query in "abcd"] == [[], ["agent"], [], ["agent"]]


async def test_what_an_agent_no_longer_says_is_forgotten_at_once(embeddings: Embeddings) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    embeddings.put(Card("agent", examples=("bananas",)))
    assert await near(embeddings, "a") == []
    assert embeddings.waiting == 1


async def test_an_agent_that_changes_or_leaves_while_it_is_embedded_is_not_mixed_up(
    embeddings: Embeddings, embedder: FakeEmbedder
) -> None:
    embeddings.put(Card("known", examples=("zebras",)))
    await settle(embeddings)
    embeddings.put(Card("changes", examples=("apples",)))
    embeddings.put(Card("leaves", examples=("bananas",)))
    embedder.gate = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(embeddings.step())
        await eventually(lambda: "apples" in embedder.texts)
        embeddings.put(Card("changes", examples=("cherries",)))
        embeddings.remove("leaves")
        embedder.gate.set()
    await settle(embeddings)
    assert [await near(embeddings, query) for query in "abc"] == [[], [], ["changes"]]


async def test_many_agents_are_embedded_in_bounded_batches(embeddings: Embeddings, embedder: FakeEmbedder) -> None:
    for number in range(50):
        embeddings.put(Card(f"agent-{number}", examples=tuple(f"{number} {i}" for i in range(5))))
    embeddings.put(Card("talker", examples=tuple(f"x{i}" for i in range(500))))
    await settle(embeddings)
    assert embeddings.waiting == 0
    assert max(map(len, embedder.batches)) <= MOST_TEXTS
    assert embedder.texts.count("49 4") == 1
    assert len([text for text in embedder.texts if text[0] == "x"]) == TEXTS


async def test_a_new_model_has_everything_embedded_anew(embeddings: Embeddings, embedder: FakeEmbedder) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    embedder.model = "large"
    assert await embeddings.meaning("a") is None  # vectors of two models are not compared
    assert (embeddings.model, embeddings.waiting) == ("large", 1)
    await settle(embeddings)
    assert await near(embeddings, "a") == ["agent"]


async def test_an_embedder_that_keeps_changing_its_model_makes_no_endless_work(
    embeddings: Embeddings, embedder: FakeEmbedder
) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    embeddings.put(Card("other", examples=("bananas",)))
    embedder.model = "large"
    with pytest.raises(EmbedderAway):  # so that whoever runs this pauses
        await embeddings.step()
    await settle(embeddings)
    assert await near(embeddings, "a") == ["agent"]


async def test_a_model_that_nobody_has_fitted_is_not_used(embeddings: Embeddings, embedder: FakeEmbedder) -> None:
    embedder.model = "unheard-of"
    for number in range(100):
        embeddings.put(Card(f"agent-{number}", examples=(f"apples {number}",)))
    await settle(embeddings)
    assert await embeddings.meaning("apples") is None
    assert embedder.queries == []
    assert len(embedder.batches) == 1


async def test_a_query_is_embedded_once(embeddings: Embeddings, embedder: FakeEmbedder) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    for _ in range(3):
        assert await near(embeddings, "apples?") == ["agent"]
    assert embedder.queries == ["apples?"]


async def test_an_embedder_that_failed_is_left_alone_for_a_while(
    embeddings: Embeddings, embedder: FakeEmbedder, time: Time
) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    embedder.away = True
    assert await embeddings.meaning("apples") is None
    embedder.away = False
    assert await embeddings.meaning("apples") is None
    assert len(embedder.queries) == 1
    time.now = PAUSE_SECONDS
    assert await near(embeddings, "apples") == ["agent"]


async def test_in_the_background_agents_are_embedded_as_they_come(embeddings: Embeddings) -> None:
    async with background(embeddings.run()):
        embeddings.put(Card("first", examples=("apples",)))
        await eventually(lambda: embeddings.waiting == 0)
        embeddings.put(Card("second", examples=("bananas",)))
        await eventually(lambda: embeddings.waiting == 0)
        assert await near(embeddings, "b") == ["second"]


async def test_the_background_outlives_an_embedder_that_is_away(
    embeddings: Embeddings, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.registry.embeddings.PAUSE_SECONDS", 0.01)
    embedder.away = True
    async with background(embeddings.run()):
        embeddings.put(Card("first", examples=("apples",)))
        await eventually(lambda: len(embedder.batches) > 1)
        embedder.away = False
        await eventually(lambda: embeddings.waiting == 0)


@pytest.mark.parametrize("odd", ["", "   ", "\x00", "\x00\x00 "])
async def test_an_odd_query_does_not_reach_the_embedder(
    embeddings: Embeddings, embedder: FakeEmbedder, odd: str
) -> None:
    embeddings.put(Card("agent", examples=("apples",)))
    await settle(embeddings)
    assert await embeddings.meaning(odd) is None
    assert embedder.queries == []


def test_what_no_embedder_takes_is_left_out() -> None:
    card = Card("agent", "a\x00b", examples=("\ud800x", " ", "x" * 100_000, "same", "same"))
    texts = texts_of(card)
    assert texts[:2] == ["a b", "?x"]
    assert len(texts) == 4
    assert max(map(len, texts)) == 2_000
    assert texts_of(Card("agent", " ", examples=("\x00",))) == ["agent"]
