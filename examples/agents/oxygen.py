"""The oxygen agent: learning courses, and places in them."""

import json
from pathlib import Path
from typing import Any, Literal

from bureau.agents import Agent, Risk, Tool, ToolContext, tool
from bureau_contracts.shapes import JsonObject

DATA = Path(__file__).parent.parent / "data" / "courses.json"

INSTRUCTIONS = """You help people to learn. Offer courses that fit topic and level; name courses by their id.
Enrol somebody only when asked to."""

Topic = Literal["python", "kubernetes", "databases", "security", "leadership"]
Level = Literal["beginner", "intermediate", "advanced"]


def create_agent() -> Agent:
    """Enrolments are kept in memory: they last as long as the process."""
    return Agent(instructions=INSTRUCTIONS, tools=_tools(json.loads(DATA.read_text())))


def _tools(courses: list[dict[str, Any]]) -> tuple[Tool, ...]:
    enrolled: dict[str, set[str]] = {}

    def course_of(course_id: str) -> JsonObject:
        found = next((course for course in courses if course["course_id"] == course_id.upper()), None)
        if found is None:
            raise LookupError(f"there is no course {course_id}")
        return found

    @tool(
        risk=Risk.READ,
        examples=[
            "find a python course",
            "which courses are there",
            "beginner training on kubernetes",
            "I want to learn",
        ],
    )
    async def find_courses(topic: Topic | None = None, level: Level | None = None) -> list[JsonObject]:
        """Find learning courses by topic and level."""
        return [
            {key: course[key] for key in ("course_id", "title", "level", "hours", "seats")}
            for course in courses
            if topic in (None, course["topic"]) and level in (None, course["level"])
        ]

    @tool(risk=Risk.READ, examples=["show course C-201", "details of C-310", "what is the course about"])
    async def course_details(course_id: str) -> JsonObject:
        """Show what one course teaches."""
        return course_of(course_id)

    @tool(risk=Risk.WRITE, examples=["enrol me in C-201", "sign me up for course C-310", "book a seat in C-415"])
    async def enrol(context: ToolContext, course_id: str) -> JsonObject:
        """Give the user a seat in a course. Enrolling twice changes nothing."""
        course = course_of(course_id)
        people = enrolled.setdefault(course["course_id"], set())
        if context.user not in people and len(people) >= course["seats"]:
            raise LookupError(f"{course['course_id']} has no free seat")
        people.add(context.user)
        return {"course_id": course["course_id"], "title": course["title"], "enrolled": context.user}

    return (find_courses, course_details, enrol)
