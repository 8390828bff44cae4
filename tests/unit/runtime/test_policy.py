"""What an agent may do by itself."""

import pytest

from bureau_contracts.registry import AutonomyLevel
from bureau_contracts.runtime import Risk
from services.runtime.policy import allows, effective_level, refusal

L0, L1, L2, L3 = AutonomyLevel


@pytest.mark.parametrize(
    ("level", "allowed"),
    [(L0, set()), (L1, {Risk.READ}), (L2, {Risk.READ, Risk.WRITE}), (L3, {Risk.READ, Risk.WRITE, Risk.CRITICAL})],
)
def test_a_level_allows_exactly_its_risks(level: AutonomyLevel, allowed: set[Risk]) -> None:
    assert {risk for risk in Risk if allows(level, risk)} == allowed


@pytest.mark.parametrize("asked", AutonomyLevel)
@pytest.mark.parametrize("ceiling", AutonomyLevel)
def test_nothing_lifts_a_turn_over_the_agents_ceiling(asked: AutonomyLevel, ceiling: AutonomyLevel) -> None:
    level = effective_level(asked, ceiling)
    assert level <= asked
    assert level <= ceiling
    assert level in (asked, ceiling)


def test_a_refusal_says_what_is_needed() -> None:
    assert refusal(L1, Risk.CRITICAL) == ("not allowed at autonomy level L1: this is a critical call, which needs L3")
