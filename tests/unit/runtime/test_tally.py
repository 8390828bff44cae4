"""Turns are counted beside the turns."""

from bureau_contracts.runtime import TurnStatus
from kit.identity import Principal
from kit.tasks import background
from services.runtime.tally import WAITING_METRICS, Tally
from tests.runtime_neighbours import Metrics

ADA = Principal("acme", "ada")


async def test_a_turn_is_counted_and_measured_on_the_users_behalf() -> None:
    metrics = Metrics()
    tally = Tally(metrics)
    async with background(tally.send()):
        tally.turn(ADA, agent="tickets", status=TurnStatus.COMPLETED, seconds=0.5)
        await metrics.asked.until("turn_seconds", 1)
    (who, total), (_, seconds) = metrics.recorded
    assert who == "ada"
    assert (total.name, total.value, total.labels) == (
        "turns_total", 1, {"agent": "tickets", "status": "completed"},
    )  # fmt: skip
    assert (seconds.name, seconds.value, seconds.observe) == ("turn_seconds", 0.5, True)


async def test_an_evaluation_that_is_away_harms_nothing_and_is_used_again_when_it_is_back() -> None:
    metrics = Metrics(away=True)
    tally = Tally(metrics)
    async with background(tally.send()):
        tally.turn(ADA, agent="", status=TurnStatus.ERROR, seconds=1)
        await metrics.asked.until("turn_seconds", 1)
        metrics.away = False
        tally.turn(ADA, agent="", status=TurnStatus.ERROR, seconds=1)
        await metrics.asked.until("turn_seconds", 2)
    assert len(metrics.recorded) == 2


async def test_what_waits_is_bounded() -> None:
    tally = Tally(Metrics())
    for _ in range(WAITING_METRICS * 2):
        tally.turn(ADA, agent="tickets", status=TurnStatus.COMPLETED, seconds=1)
    assert tally._waiting.qsize() <= WAITING_METRICS
