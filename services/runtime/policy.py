"""What an agent may do by itself. Enforced here, before a call; a prompt can neither widen nor narrow it."""

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk

_ALLOWED: dict[AutonomyLevel, frozenset[Risk]] = {
    AutonomyLevel.L0: frozenset(),
    AutonomyLevel.L1: frozenset({Risk.READ}),
    AutonomyLevel.L2: frozenset({Risk.READ, Risk.WRITE}),
    AutonomyLevel.L3: frozenset({Risk.READ, Risk.WRITE, Risk.CRITICAL}),
}

UNKNOWN_RISK = Risk.WRITE
"""Of what Bureau cannot look into: an unknown tool, an agent that acts by itself."""


def effective_level(asked: AutonomyLevel, ceiling: AutonomyLevel) -> AutonomyLevel:
    """The turn's or session's level, but never more than the agent's ceiling."""
    return min(asked, ceiling)


def allows(level: AutonomyLevel, risk: Risk) -> bool:
    return risk in _ALLOWED[level]


def refusal(level: AutonomyLevel, risk: Risk) -> str:
    """Why a call does not run, in words that fit both a model and a person."""
    needed = next(each for each, risks in _ALLOWED.items() if risk in risks)
    return f"not allowed at autonomy level {level}: this is a {risk} call, which needs {needed}"
