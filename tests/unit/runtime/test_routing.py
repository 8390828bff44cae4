"""Who answers, and why."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from bureau.errors import NotFound
from bureau_contracts.problems import Problem
from bureau_contracts.registry import AgentRecord, Candidate, SearchAnswer
from bureau_contracts.runtime import RouteReason
from bureau_contracts.sessions import Context
from services.runtime.errors import AgentDisabled, AgentNotFound
from services.runtime.routing import FRESH_SECONDS, QUERY_CHARS, Router, clarification, decide

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def found(**scores: float) -> SearchAnswer:
    """What the registry says; the best first."""
    ranked = sorted(scores.items(), key=lambda each: -each[1])
    candidates = [Candidate(name=name, score=score, lexical=score, matched=[name]) for name, score in ranked]
    return SearchAnswer(query="", candidates=candidates, threshold=0.5)


def record(name: str, *, enabled: bool = True) -> AgentRecord:
    return AgentRecord(name=name, http="http://agent", enabled=enabled, revision=1, registered_at=NOW, updated_at=NOW)


@dataclass
class Catalogue:
    records: dict[str, AgentRecord] = field(default_factory=dict)
    answer: SearchAnswer = field(default_factory=found)
    asked: list[str] = field(default_factory=list)

    async def get(self, name: str) -> AgentRecord:
        if name not in self.records:
            raise NotFound(Problem(title="Not Found", status=404, code="agent_not_found"))
        return self.records[name]

    async def search(self, q: str, *, k: int = 5, enabled_only: bool = True) -> SearchAnswer:
        assert enabled_only, "a disabled agent is never a candidate"
        self.asked.append(q)
        return self.answer

    async def all(self, *, enabled_only: bool | None = None) -> AsyncIterator[AgentRecord]:
        for each in self.records.values():
            yield each


@pytest.mark.parametrize(
    ("message", "scores", "before", "chosen", "reason"),
    [
        ("show my tickets", {"tickets": 0.9, "finops": 0.1}, None, ["tickets"], RouteReason.MATCH),
        ("show my tickets", {"tickets": 0.9, "finops": 0.1}, "finops", ["tickets"], RouteReason.MATCH),
        ("show details", {}, "tickets", ["tickets"], RouteReason.CONTINUITY),
        ("show details", {"finops": 0.95}, "tickets", ["tickets"], RouteReason.CONTINUITY),
        ("and for last month?", {"tickets": 0.4}, "finops", ["finops"], RouteReason.CONTINUITY),
        ("the second one", {"oxygen": 0.7}, "tickets", ["tickets"], RouteReason.CONTINUITY),
        ("close it", {"doors": 0.6, "tickets": 0.5}, "tickets", ["tickets"], RouteReason.CONTINUITY),
        ("and what courses do you have", {"oxygen": 0.9}, "tickets", ["oxygen"], RouteReason.MATCH),
        ("close it", {"doors": 0.9, "tickets": 0.1}, "tickets", ["doors"], RouteReason.MATCH),
        ("my printer is on fire", {"tickets": 0.3, "finops": 0.1}, "tickets", ["tickets"], RouteReason.CONTINUITY),
        ("my printer is on fire", {"tickets": 0.3, "finops": 0.1}, "finops", [], RouteReason.UNCLEAR),
        ("show details", {}, None, [], RouteReason.UNCLEAR),
        ("show details", {"tickets": 0.3}, None, [], RouteReason.UNCLEAR),
        ("what is the weather", {"tickets": 0.2}, "tickets", [], RouteReason.UNCLEAR),
        ("what is the weather", {}, "tickets", [], RouteReason.UNCLEAR),
    ],
)
def test_the_agent_is_chosen_by_score_and_by_what_was_said_before(
    message: str, scores: dict[str, float], before: str | None, chosen: list[str], reason: RouteReason
) -> None:
    answer = decide(message, found(**scores), before)
    assert (answer.chosen, answer.reason) == (chosen, reason)


def test_the_explanation_says_why_in_words() -> None:
    def why(message: str, before: str | None = None, **scores: float) -> str:
        return decide(message, found(**scores), before).explanation

    assert why("show my tickets", tickets=0.9) == "tickets fits best by “tickets” (score 0.90)."
    assert why("show details", "tickets") == ("tickets answered before, and the message asks on with “details”.")
    assert why("what is up", tickets=0.2) == "The likeliest agent, tickets, scores 0.20; 0.50 is needed."
    assert why("what is up") == "No enabled agent's card shares a word with the message."


def test_a_question_back_names_the_likely_agents() -> None:
    def question(**scores: float) -> str:
        return clarification(decide("bill", found(**scores), None))

    assert "tickets, finops or oxygen?" in question(tickets=0.4, finops=0.3, oxygen=0.2, other=0.1)
    assert "something for tickets?" in question(tickets=0.4)
    assert "other words" in question()


async def test_a_requested_agent_is_taken_without_a_search() -> None:
    catalogue = Catalogue({"tickets": record("tickets")})
    router = Router(catalogue)
    route = await router.choose(await router.find("anything", "tickets"), "anything", None)
    assert (route.answer.chosen, route.answer.reason) == (["tickets"], RouteReason.REQUESTED)
    assert route.record is not None
    assert route.record.name == "tickets"
    assert catalogue.asked == []


async def test_a_requested_agent_that_is_unknown_or_switched_off_is_refused() -> None:
    router = Router(Catalogue({"off": record("off", enabled=False)}))
    with pytest.raises(AgentNotFound):
        await router.find("hello", "nobody")
    with pytest.raises(AgentDisabled):
        await router.find("hello", "off")


@pytest.mark.parametrize("before", ["off", "gone"])
async def test_a_follow_up_does_not_go_to_an_agent_that_was_switched_off_or_deleted(before: str) -> None:
    router = Router(Catalogue({"off": record("off", enabled=False)}))
    context = Context(last_agent_called=before)
    route = await router.choose(await router.find("show details", None), "show details", context)
    assert route.answer.reason is RouteReason.UNCLEAR
    assert route.record is None


@pytest.mark.parametrize("records", [{}, {"tickets": record("tickets", enabled=False)}])
async def test_an_agent_that_vanishes_between_search_and_choice_is_a_conflict(records: dict[str, AgentRecord]) -> None:
    router = Router(Catalogue(records, found(tickets=0.9)))
    with pytest.raises(AgentDisabled):
        await router.choose(await router.find("show my tickets", None), "show my tickets", None)


async def test_the_registry_reads_only_the_beginning_of_a_huge_message() -> None:
    catalogue = Catalogue()
    await Router(catalogue).find("tickets " * 100_000, None)
    assert [len(each) for each in catalogue.asked] == [QUERY_CHARS]


async def test_a_disable_between_the_search_and_the_choice_is_honoured() -> None:
    catalogue = Catalogue({"tickets": record("tickets")}, found(tickets=0.9))
    router = Router(catalogue)
    searched = await router.find("show my tickets", None)
    catalogue.records["tickets"] = record("tickets", enabled=False)
    with pytest.raises(AgentDisabled):
        await router.choose(searched, "show my tickets", None)


@pytest.mark.parametrize("requested", [None, "tickets"])
async def test_a_disable_between_the_choice_and_the_start_is_honoured_within_a_second(requested: str | None) -> None:
    now = 0.0
    catalogue = Catalogue({"tickets": record("tickets")}, found(tickets=0.9))
    router = Router(catalogue, now=lambda: now)
    route = await router.choose(await router.find("show my tickets", requested), "show my tickets", None)
    assert await router.at_start(route) is route.record
    catalogue.records["tickets"] = record("tickets", enabled=False)
    now = FRESH_SECONDS
    with pytest.raises(AgentDisabled):
        await router.at_start(route)
