"""How much may wait, run and begin at once: by queue, by kind and by tenant. Written as rules, separated by semicolons:

    queue:reports concurrency=5 rate=10/60 depth=100; kind:import concurrency=2; tenant:* concurrency=20

`*` stands for every one without a rule of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

SCOPES = ("queue", "kind", "tenant")
_RULE = re.compile(r"(queue|kind|tenant):([^\s;:]+)((?:\s+\S+)+)")
_TERM = re.compile(r"(concurrency|depth)=([0-9]{1,9})|rate=([1-9][0-9]{0,8})/([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Limit:
    """None: no limit."""

    concurrency: int | None = None
    """Jobs that workers have at once."""
    rate: tuple[int, int] | None = None
    """So many jobs begin within so many seconds; evenly spread, or after a rest all at once."""
    depth: int | None = None
    """Jobs that wait for a worker. Further ones are refused, but for those of schedules and of `map` steps."""


@dataclass(frozen=True)
class Limits:
    rules: Mapping[str, Mapping[str, Limit]] = field(default_factory=dict)
    """By scope, then by name."""

    def of(self, scope: str, name: str) -> Limit:
        rules = self.rules.get(scope, {})
        return rules.get(name) or rules.get("*") or Limit()


def parse_limits(written: str) -> Limits:
    """Raises ValueError, which names the rule."""
    rules: dict[str, dict[str, Limit]] = {scope: {} for scope in SCOPES}
    for text in filter(None, (each.strip() for each in written.split(";"))):
        match = _RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no rule: write queue:NAME, kind:NAME or tenant:NAME, then what is limited")
        scope, name, terms = match[1], match[2], match[3].split()
        if name in rules[scope]:
            raise ValueError(f"{scope}:{name} has two rules")
        rules[scope][name] = _limit(terms, text)
    return Limits(rules)


def _limit(terms: list[str], rule: str) -> Limit:
    found: dict[str, int | tuple[int, int]] = {}
    for term in terms:
        match = _TERM.fullmatch(term)
        if match is None:
            raise ValueError(f"{term!r} in {rule!r}: write concurrency=5, rate=10/60 (ten in a minute) or depth=100")
        name = match[1] or "rate"
        if name in found:
            raise ValueError(f"{rule!r} says {name} twice")
        found[name] = int(match[2]) if match[1] else (int(match[3]), int(match[4]))
    return Limit(**found)  # type: ignore[arg-type]  # the terms are as their names say
