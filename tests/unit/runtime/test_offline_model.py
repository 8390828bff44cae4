"""Conversations with the offline model, over the bundled example agents and some tools of its own."""

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bureau.agents import Agent
from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk
from bureau_contracts.sessions import Message, NewMessage, Role
from bureau_contracts.shapes import JsonObject
from services.runtime.loop import LoopLimits, LoopRunner
from services.runtime.models.catalogue import Models
from services.runtime.models.model import ModelRequest, ToolSpec
from services.runtime.models.offline.model import OfflineModel
from services.runtime.runner import Outcome, Work
from services.runtime.toolbox import BoundTool, Limits
from tests.fakes import FixedClock

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class Conversation:
    """One user and one agent; keeps the history as the sessions would."""

    tools: Sequence[BoundTool]
    memories: Sequence[str] = ()
    level: AutonomyLevel = AutonomyLevel.L3
    history: list[Message] = field(default_factory=list)

    async def say(self, message: str) -> Outcome:
        models = Models({"offline": lambda _: OfflineModel(FixedClock(NOW))}, "offline")
        runner = LoopRunner("agent", "", self.tools, models, None, LoopLimits(5, 10, Limits(5, 20_000)))
        turn_id = f"turn-{len(self.history)}"
        outcome = await runner.answer(
            Work(message, self.history[-20:], self.memories, self.level, "acme", "ada", "sess-1", turn_id)
        )
        for each in [NewMessage(role=Role.USER, content=message), *outcome.messages]:
            given = each.model_dump(exclude={"trace_id"})
            self.history.append(Message(seq=len(self.history) + 1, message_id="msg-1", timestamp=NOW, **given))
        return outcome


def example(name: str, **more: Any) -> Conversation:
    agent: Agent = importlib.import_module(f"examples.agents.{name}").create_agent()
    tools = [
        BoundTool(ToolSpec(each.name, each.description, each.parameters, each.risk, each.examples), each.call)
        for each in agent.tools
    ]
    return Conversation(tools, **more)


def called(outcome: Outcome) -> list[tuple[str, JsonObject]]:
    return [(each.name, each.arguments) for each in outcome.tools]


@pytest.mark.parametrize(
    ("agent", "message", "calls"),
    [
        ("tickets", "show my tickets", [("list_tickets", {})]),
        ("tickets", "list all my open tickets please", [("list_tickets", {"status": "open"})]),
        ("tickets", "show my closed tickets", [("list_tickets", {"status": "closed"})]),
        ("tickets", "what is the state of my support request?", [("list_tickets", {})]),
        ("tickets", "show ticket T-1001", [("ticket_details", {"ticket_id": "T-1001"})]),
        ("tickets", "tell me more about t-1001", [("ticket_details", {"ticket_id": "t-1001"})]),
        ("tickets", "details of T-1001 and T-1002",
         [("ticket_details", {"ticket_id": "T-1001"}), ("ticket_details", {"ticket_id": "T-1002"})]),
        ("tickets", "please close ticket T-1001", [("close_ticket", {"ticket_id": "T-1001"})]),
        ("tickets", 'comment on T-1002 "any news?"',
         [("comment_ticket", {"ticket_id": "T-1002", "text": "any news?"})]),
        ("tickets", "close T-1001 and show my tickets",
         [("close_ticket", {"ticket_id": "T-1001"}), ("list_tickets", {})]),
        ("finops", "what did the cloud cost in 2026-09?", [("cloud_cost", {"month": "2026-09"})]),
        ("finops", "what did the cloud cost last month", [("cloud_cost", {"month": "2026-10"})]),
        ("finops", "how much did we spend on storage in September?",
         [("cloud_cost", {"month": "2026-09", "service": "storage"})]),
        ("finops", "compare with last month", [("compare_months", {})]),
        ("finops", "why did the bill go up in October", [("compare_months", {"month": "2026-10"})]),
        ("finops", "where can we save money?", [("idle_resources", {})]),
        ("oxygen", "find a python course for beginners", [("find_courses", {"topic": "python", "level": "beginner"})]),
        ("oxygen", "what can I learn about kubernetes", [("find_courses", {"topic": "kubernetes"})]),
        ("oxygen", "I want to get better at databases", [("find_courses", {"topic": "databases"})]),
        ("oxygen", "enrol me in C-201", [("enrol", {"course_id": "C-201"})]),
        ("tickets", "what is the weather in Paris", []),
        ("tickets", "do not close T-1001", []),
        ("tickets", "I do not want you to go ahead and close ticket T-1001", []),
        ("tickets", "", []),
    ],
)  # fmt: skip
async def test_a_message_calls_the_tool_that_it_means(
    agent: str, message: str, calls: list[tuple[str, JsonObject]]
) -> None:
    outcome = await example(agent).say(message or " ")
    assert called(outcome) == calls
    assert outcome.reply


async def test_details_and_numbers_point_at_what_was_shown() -> None:
    talk = example("tickets")
    listed = await talk.say("show my tickets")
    assert listed.reply.splitlines()[:2] == [
        "3 tickets:",
        "1. T-1002 · No access to the analytics warehouse · status waiting, priority urgent, opened 2026-10-14",
    ]
    details = await talk.say("show details")
    assert called(details) == [("ticket_details", {"ticket_id": "T-1002"})]
    assert "first of 3" in details.reply, "that one of several was taken is said"
    assert called(await talk.say("the second one")) == [("ticket_details", {"ticket_id": "T-1001"})]
    assert called(await talk.say("close it")) == [("close_ticket", {"ticket_id": "T-1001"})]
    assert called(await talk.say("and number 3?")) == [("ticket_details", {"ticket_id": "T-1003"})]
    missing = await talk.say("show the fifth one")
    assert (called(missing), missing.reply[:26]) == ([], "There is no such entry: I ")


async def test_a_follow_up_changes_only_what_it_names() -> None:
    talk = example("finops")
    assert called(await talk.say("how much do we spend on storage")) == [("cloud_cost", {"service": "storage"})]
    assert called(await talk.say("and in 2026-09?")) == [("cloud_cost", {"service": "storage", "month": "2026-09"})]
    assert called(await talk.say("and for ai?")) == [("cloud_cost", {"service": "ai", "month": "2026-09"})]
    assert called(await talk.say("and the month before?")) == [("cloud_cost", {"service": "ai", "month": "2026-08"})]
    assert called(await talk.say("show the bill")) == [("cloud_cost", {})], "a new question starts anew"


async def test_it_points_back_at_what_the_last_question_was_about() -> None:
    talk = example("finops")
    await talk.say("what did the cloud cost in 2026-09?")
    assert called(await talk.say("compare it with the month before")) == [("compare_months", {"month": "2026-09"})]


async def test_what_is_missing_for_a_call_is_asked_for() -> None:
    outcome = await example("tickets").say("close the ticket")
    assert called(outcome) == []
    assert outcome.reply == "Which ticket id? For example: “close ticket T-1001”."


async def test_acting_takes_nothing_for_granted_when_several_things_were_shown() -> None:
    talk = example("tickets")
    await talk.say("show my tickets")
    assert called(await talk.say("close the ticket")) == []
    await talk.say("show ticket T-1001")
    assert called(await talk.say("close the ticket")) == [("close_ticket", {"ticket_id": "T-1001"})]


async def test_failures_and_refusals_are_told_as_they_are() -> None:
    failed = await example("tickets").say("show ticket T-9999")
    assert failed.reply == "I could not do that (ticket details): you have no ticket T-9999"
    refused = await example("tickets", level=AutonomyLevel.L1).say("close ticket T-1001")
    assert "not allowed at autonomy level L1" in refused.reply


async def test_memories_that_fit_are_told_and_others_are_not() -> None:
    memories = ["Ada wants reports as short bullet points", "Ada has a cat"]
    talk = example("oxygen", memories=memories)
    courses = await talk.say("which courses are there? keep the reports as I like them")
    assert called(courses) == [("find_courses", {})]
    assert "You told me: Ada wants reports as short bullet points" in courses.reply
    assert "cat" not in courses.reply
    assert (await talk.say("what do you remember about me?")).reply.count("You told me:") == 2


async def test_it_says_that_it_is_offline_when_nothing_fits() -> None:
    outcome = await example("tickets").say("write a poem about the sea")
    assert "I am the offline model" in outcome.reply
    assert "“show my tickets”" in outcome.reply
    assert (outcome.model, outcome.cost, outcome.usage.estimated) == ("offline", 0.0, True)


async def test_courtesies_call_nothing() -> None:
    talk = example("tickets")
    for message, begins in [("Hello!", "Hello!"), ("thanks", "You are welcome"), ("what can you do?", "You can say")]:
        outcome = await talk.say(message)
        assert outcome.reply.startswith(begins)
        assert called(outcome) == []


async def test_an_agent_without_tools_says_that_it_can_do_little() -> None:
    assert "no tools" in (await Conversation([]).say("do something useful")).reply


@pytest.mark.parametrize(
    "message",
    ["(" * 5000, "a-" * 100_000, "“" * 3000, "\u202e" * 1000, "the " * 50_000, "T-1 " * 5000, "9" * 100_000,
     "' " * 9000, "last " * 9000, "1-" * 9000, "not " * 9000, ": " * 9000],
)  # fmt: skip
async def test_no_message_takes_long_or_breaks_it(message: str) -> None:
    model = OfflineModel(FixedClock(NOW))
    tools = [each.spec for name in ("tickets", "finops", "oxygen") for each in example(name).tools]
    began = time.perf_counter()
    reply = await model.complete(ModelRequest("", [NewMessage(role=Role.USER, content=message)], tools))
    assert time.perf_counter() - began < 5, "bounded by what is read of a message, not by its length"
    assert reply.text or reply.tool_calls


async def test_the_same_request_gets_the_same_reply() -> None:
    first, second = [await example("finops").say("what did the cloud cost last month") for _ in range(2)]
    assert (first.reply, called(first)) == (second.reply, called(second))


async def test_a_tool_without_examples_is_found_by_its_name_and_description() -> None:
    async def book(arguments: JsonObject, context: object) -> Any:
        return {"room": arguments.get("room"), "booked": True}

    schema = {
        "type": "object",
        "properties": {"room": {"type": "string", "pattern": "^R[0-9]+$"}},
        "required": ["room"],
    }
    tools = [BoundTool(ToolSpec("book_room", "Book a meeting room.", schema, Risk.WRITE), book)]
    outcome = await Conversation(tools).say("book the meeting room R12")
    assert called(outcome) == [("book_room", {"room": "R12"})]
    assert outcome.reply == "room: R12\nbooked: yes"
