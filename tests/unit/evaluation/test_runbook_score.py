"""The score of a runbook: each part of the formula, and its limits."""

import pytest

from bureau_contracts.evaluation import RunbookScore, ScoreRunbook
from bureau_contracts.steps import NewStep, StepKind
from services.evaluation.runbook_score import score_runbook


def score(runbook: str | list[NewStep], **more: object) -> RunbookScore:
    return score_runbook(ScoreRunbook.model_validate({"runbook": runbook, **more}))


def test_a_short_clear_runbook_has_full_marks() -> None:
    result = score("check the open tickets\n\nclose the oldest ticket\n")
    assert (result.score, result.step_count, result.mean_step_length) == (1.0, 2, 4.0)
    assert result.details == {"size": 1.0, "step_length": 1.0}
    assert result.similarity is None


def test_steps_of_a_job_count_by_their_name_and_message() -> None:
    steps = [
        NewStep(name="look", kind=StepKind.AGENT, message="show my tickets"),
        NewStep(name="wait", kind=StepKind.WAIT, seconds=1),
    ]
    result = score(steps)
    assert (result.step_count, result.mean_step_length) == (2, 2.5)
    assert result.details["step_length"] == pytest.approx((1 + 0.5) / 2)


def test_too_many_steps_cost() -> None:
    assert score("do one thing\n" * 40).details["size"] == 0.5


@pytest.mark.parametrize(("words", "value"), [(1, 0.5), (2, 1.0), (30, 1.0), (60, 0.5)])
def test_steps_that_are_too_short_or_too_long_cost(words: int, value: float) -> None:
    assert score("word " * words).details["step_length"] == value


def test_forbidden_phrases_are_found_as_whole_words_whatever_the_case_and_punctuation() -> None:
    result = score("Please RM -rf the cache\nundelete it", forbidden_phrases=["rm rf", "delete", "it Please"])
    assert result.forbidden_found == ["rm rf"]
    assert result.details["forbidden"] == pytest.approx(2 / 3)


def test_the_same_text_is_entirely_similar_and_another_not_at_all() -> None:
    text = "check the open tickets\nclose the oldest"
    assert score(text, reference=text).similarity == 1.0
    assert score(text, reference="bake bread").similarity == 0.0


def test_the_order_of_the_words_counts() -> None:
    similarity = score("open the valve then start the pump", reference="start the pump then open the valve").similarity
    assert similarity is not None
    assert 0.5 < similarity < 1.0


def test_a_reference_may_have_another_form_than_the_runbook() -> None:
    steps = [NewStep(name="look", kind=StepKind.AGENT, message="show my tickets")]
    assert score("look show my tickets", reference=steps).similarity == 1.0


@pytest.mark.parametrize("runbook", [" \n\t", "!!!", "one", []])
def test_degenerate_runbooks_get_a_score_between_nought_and_one(runbook: str | list[NewStep]) -> None:
    result = score(runbook, reference="", forbidden_phrases=["!!!"])
    assert 0 <= result.score <= 1
    assert result.forbidden_found == []


def test_the_score_is_the_mean_of_its_parts() -> None:
    result = score("one\ntwo words", reference="one", forbidden_phrases=["one"])
    assert result.details.keys() == {"size", "step_length", "forbidden", "similarity"}
    assert result.score == pytest.approx(sum(result.details.values()) / 4)
