"""Embeddings beside words: the matrix, and what the index makes of cosines."""

import pytest

from services.registry.cards import Card
from services.registry.search import AgentIndex
from services.registry.vectors import Vectors


def test_an_agent_is_as_near_as_its_nearest_vector() -> None:
    vectors = Vectors(2)
    vectors.put("east", [[1, 0], [5, 0]])
    vectors.put("both", [[0, 2], [1, 1]])
    found = vectors.cosines([3, 0])
    assert found["east"] == pytest.approx(1)
    assert found["both"] == pytest.approx(2**-0.5)


def test_a_far_agent_keeps_its_negative_cosine() -> None:
    vectors = Vectors(2)
    vectors.put("west", [[-1, 0]])
    assert vectors.cosines([1, 0]) == {"west": pytest.approx(-1)}


def test_agents_come_and_go_without_leaving_a_trace_and_the_matrix_grows() -> None:
    vectors = Vectors(3)
    for number in range(100):
        vectors.put(f"agent-{number}", [[number + 1, 1, 0]] * 3)
    for number in range(100):
        if number != 7:
            vectors.remove(f"agent-{number}")
    vectors.remove("agent-0")
    assert vectors.cosines([8, 1, 0]) == {"agent-7": pytest.approx(1)}
    vectors.put("agent-7", [[0, 0, 1]])
    assert vectors.cosines([8, 1, 0]) == {"agent-7": pytest.approx(0)}
    vectors.put("agent-7", [])
    assert vectors.cosines([8, 1, 0]) == {}


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 2.0, 3.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_of_the_wrong_length_or_not_finite_is_refused_and_changes_nothing(wrong: list[float]) -> None:
    vectors = Vectors(2)
    vectors.put("agent", [[1, 0]])
    with pytest.raises(ValueError, match="vector"):
        vectors.put("agent", [[0, 1], wrong])
    with pytest.raises(ValueError, match="vector"):
        vectors.cosines(wrong)
    assert vectors.cosines([1, 0]) == {"agent": pytest.approx(1)}


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    vectors = Vectors(2)
    vectors.put("agent", [[0, 0]])
    assert vectors.cosines([1, 0]) == {"agent": 0}


@pytest.fixture
def index() -> AgentIndex:
    """Two agents that words alone cannot tell apart, and one that has no vectors."""
    vectors = Vectors(2)
    vectors.put("north", [[0, 1]])
    vectors.put("east", [[1, 0]])
    index = AgentIndex(neighbours=vectors)
    for name in ("north", "east", "plain"):
        index.put(Card(name, examples=("book a table",)))
    return index


def test_meaning_decides_between_agents_that_words_cannot_tell_apart(index: AgentIndex) -> None:
    east, plain, north = index.search("table", vector=[1, 0.2])
    assert (east.name, plain.name, north.name) == ("east", "plain", "north")
    assert east.semantic == pytest.approx(0.98, abs=0.01)
    assert plain.semantic is None  # neither helped nor harmed


def test_meaning_finds_an_agent_that_shares_no_word(index: AgentIndex) -> None:
    assert index.search("xyzzy") == []
    hits = index.search("xyzzy", vector=[0, 1])
    assert hits[0].name == "north"
    assert hits[0].matched == ()


def test_without_a_vector_of_the_query_words_decide(index: AgentIndex) -> None:
    assert [hit.semantic for hit in index.search("table")] == [None, None, None]


def test_an_agent_that_may_not_be_chosen_is_not_chosen_by_meaning_either(index: AgentIndex) -> None:
    assert [hit.name for hit in index.search("xyzzy", vector=[0, 1], allowed={"east"})] == ["east"]


def test_vectors_of_an_agent_that_is_not_indexed_are_passed_over(index: AgentIndex) -> None:
    index.remove("north")
    assert [hit.name for hit in index.search("xyzzy", vector=[0, 1])] == ["east"]
