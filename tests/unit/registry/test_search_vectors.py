"""Embeddings beside words: the matrix, and what the index makes of cosines."""

from dataclasses import dataclass, replace

import pytest

from services.registry.cards import Card
from services.registry.meaning import Meaning
from services.registry.ranking import WORDS, Tuning
from services.registry.search import CONTENDERS, AgentIndex, Hit
from services.registry.vectors import Vectors


def nearest(vectors: Vectors, vector: list[float]) -> dict[str, float]:
    cosines = vectors.cosines(vector)
    found = {name: cosines.of(name) for name, _ in cosines.best_first(1, 1)}
    return {name: one.nearest for name, one in found.items() if one}


def test_an_agent_is_as_near_as_its_nearest_vector() -> None:
    vectors = Vectors(2)
    vectors.put("east", [[1, 0], [5, 0]])
    vectors.put("both", [[0, 2], [1, 1]])
    assert nearest(vectors, [3, 0]) == {"east": pytest.approx(1), "both": pytest.approx(2**-0.5)}


def test_an_agents_middle_is_the_direction_of_all_of_its_vectors_together() -> None:
    vectors = Vectors(2)
    vectors.put("both", [[0, 2], [7, 0]])
    vectors.put("torn", [[1, 0], [-1, 0]])
    found = vectors.cosines([1, 1])
    both, torn = found.of("both"), found.of("torn")
    assert both
    assert torn
    assert both.centre == pytest.approx(1)
    assert torn.centre == pytest.approx(0)


def test_the_nearest_come_first() -> None:
    vectors = Vectors(2)
    for name, vector in (("west", [-1, 0]), ("east", [1, 0]), ("north", [0, 1])):
        vectors.put(name, [vector])
    order = list(vectors.cosines([1, 0]).best_first(2.0, 1.0))
    assert [name for name, _ in order] == ["east", "north", "west"]
    assert [amount for _, amount in order] == pytest.approx([3, 0, -3])


def test_an_agents_vectors_are_read_back_in_order() -> None:
    vectors = Vectors(2)
    vectors.put("agent", [[0, 2], [3, 0]])
    assert [one.tolist() for one in vectors.of("agent")] == [[0, 1], [1, 0]]
    assert vectors.of("nobody") == []


def test_a_far_agent_keeps_its_negative_cosine() -> None:
    vectors = Vectors(2)
    vectors.put("west", [[-1, 0]])
    assert nearest(vectors, [1, 0]) == {"west": pytest.approx(-1)}


def test_agents_come_and_go_without_leaving_a_trace_and_the_matrix_grows() -> None:
    vectors = Vectors(3)
    for number in range(100):
        vectors.put(f"agent-{number}", [[number + 1, 1, 0]] * 3)
    for number in range(100):
        if number != 7:
            vectors.remove(f"agent-{number}")
    vectors.remove("agent-0")
    assert nearest(vectors, [8, 1, 0]) == {"agent-7": pytest.approx(1)}
    vectors.put("agent-7", [[0, 0, 1]])
    assert nearest(vectors, [8, 1, 0]) == {"agent-7": pytest.approx(0)}
    vectors.put("agent-7", [])
    assert nearest(vectors, [8, 1, 0]) == {}


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 2.0, 3.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_of_the_wrong_length_or_not_finite_is_refused_and_changes_nothing(wrong: list[float]) -> None:
    vectors = Vectors(2)
    vectors.put("agent", [[1, 0]])
    with pytest.raises(ValueError, match="vector"):
        vectors.put("agent", [[0, 1], wrong])
    with pytest.raises(ValueError, match="vector"):
        vectors.cosines(wrong)
    assert nearest(vectors, [1, 0]) == {"agent": pytest.approx(1)}


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    vectors = Vectors(2)
    vectors.put("agent", [[0, 0]])
    assert nearest(vectors, [1, 0]) == {"agent": 0}


EMBEDDED = Tuning(replace(WORDS.weights, nearest=4.0, centre=4.0), WORDS.calibration)


@dataclass
class Catalogue:
    """Two agents that words alone cannot tell apart."""

    vectors: Vectors
    index: AgentIndex

    def names(self, query: str, vector: list[float], allowed: set[str] | None = None) -> list[str]:
        return [hit.name for hit in self.hits(query, vector, allowed)]

    def hits(self, query: str, vector: list[float], allowed: set[str] | None = None) -> list[Hit]:
        return self.index.search(query, allowed=allowed, meaning=Meaning(self.vectors.cosines(vector), EMBEDDED))


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue(Vectors(2), AgentIndex())
    for name, vector in (("north", [0, 1]), ("east", [1, 0])):
        catalogue.vectors.put(name, [vector])
        catalogue.index.put(Card(name, examples=("book a table",)))
    return catalogue


def test_meaning_decides_between_agents_that_words_cannot_tell_apart(catalogue: Catalogue) -> None:
    east, north = catalogue.hits("table", [1, 0.2])
    assert (east.name, north.name) == ("east", "north")
    assert east.semantic == pytest.approx(0.98, abs=0.01)
    assert catalogue.names("table", [0.2, 1]) == ["north", "east"]


def test_meaning_finds_an_agent_that_shares_no_word(catalogue: Catalogue) -> None:
    assert catalogue.index.search("xyzzy") == []
    first = catalogue.hits("xyzzy", [0, 1])[0]
    assert (first.name, first.matched) == ("north", ())


def test_without_embeddings_words_decide(catalogue: Catalogue) -> None:
    assert [hit.semantic for hit in catalogue.index.search("table")] == [None, None]


def test_an_agent_that_may_not_be_chosen_is_not_chosen_by_meaning_either(catalogue: Catalogue) -> None:
    assert catalogue.names("xyzzy", [0, 1], {"east"}) == ["east"]


def test_vectors_of_an_agent_that_is_not_indexed_are_passed_over(catalogue: Catalogue) -> None:
    catalogue.index.remove("north")
    assert catalogue.names("xyzzy", [0, 1]) == ["east"]


def test_words_decide_while_one_of_those_that_fit_best_has_no_vectors_yet(catalogue: Catalogue) -> None:
    catalogue.index.put(Card("new", examples=("book a table for two",)))
    found = catalogue.hits("book a table for two", [0, 1])
    assert found == catalogue.index.search("book a table for two")
    assert found[0].name == "new"


def test_one_without_vectors_that_hardly_fits_stops_nobody_and_gets_what_is_usual(catalogue: Catalogue) -> None:
    for number in range(CONTENDERS):
        catalogue.vectors.put(f"table-{number}", [[1, 0]])
        catalogue.index.put(Card(f"table-{number}", examples=("book a table now",)))
    catalogue.index.put(Card("plain", examples=("a table, a chair, a lamp and many other things of wood",)))
    hits = {hit.name: hit for hit in catalogue.hits("book a table now", [1, 0])}
    assert hits["plain"].semantic is None
    assert hits["east"].semantic == pytest.approx(1)


def test_agents_equally_near_come_by_name_whatever_order_they_arrived_in() -> None:
    found = []
    for numbers in (range(100), range(99, -1, -1)):
        catalogue = Catalogue(Vectors(2), AgentIndex())
        for number in numbers:
            catalogue.vectors.put(f"agent-{number:02}", [[1, 0]])
            catalogue.index.put(Card(f"agent-{number:02}"))
        found.append(catalogue.names("xyzzy", [1, 0]))
    assert found[0] == found[1] == [f"agent-{number:02}" for number in range(5)]


def test_scores_stay_probabilities(catalogue: Catalogue) -> None:
    for vector in ([1.0, 0.0], [-1.0, -1.0], [0.0, 0.0]):
        scores = [hit.score for hit in catalogue.hits("table", vector)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert sum(scores) <= 1
