"""The finops agent: what the cloud costs, by month and service."""

import json
from pathlib import Path
from typing import Any, Literal

from bureau.agents import Agent, Risk, Tool, tool
from bureau_contracts.shapes import JsonObject

DATA = Path(__file__).parent.parent / "data" / "costs.json"

INSTRUCTIONS = """You explain what the cloud costs. Months are YYYY-MM; without one, speak of the latest month.
Give amounts in US dollars and say what changed."""

Service = Literal["compute", "storage", "database", "network", "ai"]


def create_agent() -> Agent:
    return Agent(instructions=INSTRUCTIONS, tools=_tools(json.loads(DATA.read_text())))


def _tools(costs: dict[str, Any]) -> tuple[Tool, ...]:
    months: dict[str, dict[str, float]] = costs["months"]

    def of(month: str | None) -> tuple[str, dict[str, float]]:
        name = month or max(months)
        if name not in months:
            raise LookupError(f"there are no figures for {name}, only for {', '.join(sorted(months))}")
        return name, months[name]

    @tool(
        risk=Risk.READ,
        examples=[
            "what did the cloud cost",
            "cloud cost in 2026-09",
            "how much do we spend on storage",
            "show the bill",
        ],
    )
    async def cloud_cost(month: str | None = None, service: Service | None = None) -> JsonObject:
        """The cloud bill of a month, in all or of one service."""
        name, bill = of(month)
        lines = {service: bill[service]} if service else bill
        return {"month": name, "total": round(sum(lines.values()), 2), "services": lines}

    @tool(
        risk=Risk.READ,
        examples=["compare with last month", "why did the bill go up", "which service grew most", "cost trend"],
    )
    async def compare_months(month: str | None = None) -> JsonObject:
        """How a month's bill differs from the month before, by service."""
        name, bill = of(month)
        earlier = [each for each in sorted(months) if each < name]
        if not earlier:
            raise LookupError(f"there is no month before {name}")
        before = months[earlier[-1]]
        change = {service: round(bill[service] - before.get(service, 0), 2) for service in bill}
        return {"month": name, "before": earlier[-1], "change": change, "total_change": round(sum(change.values()), 2)}

    @tool(risk=Risk.READ, examples=["where can we save", "which resources are idle", "unused resources", "savings"])
    async def idle_resources() -> list[JsonObject]:
        """Resources that cost money and do nothing."""
        return list(costs["idle"])

    return (cloud_cost, compare_months, idle_resources)
