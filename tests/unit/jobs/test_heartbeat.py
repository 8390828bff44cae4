"""The heart beats while the event loop is blocked, and stops when the loop hangs."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from services.jobs.heartbeat import Heartbeat
from services.jobs.records import WorkerRecord
from services.jobs.store import Claim
from tests.waiting import eventually

HELD = Claim("acme", "job-1", 1)
WORKER = WorkerRecord("w", datetime.now(UTC), datetime.now(UTC))


class Counting:
    """A pulse that knows how often it was felt, and that everything is lost."""

    def __init__(self) -> None:
        self.beats, self.closed = 0, False

    def beat(self, worker: WorkerRecord, held: Sequence[Claim]) -> list[Claim]:
        self.beats += 1
        return list(held)

    def close(self) -> None:
        self.closed = True


def heart(pulse: Counting, lost: list[Claim], hanging_seconds: float = 60) -> Heartbeat:
    return Heartbeat(pulse, 0.01, lambda: (WORKER, [HELD]), lost.append, hanging_seconds)


async def test_what_is_lost_is_told_in_the_event_loop() -> None:
    lost: list[Claim] = []
    threads: list[threading.Thread] = []
    pulse = Counting()

    def on_lost(claim: Claim) -> None:
        lost.append(claim)
        threads.append(threading.current_thread())

    with Heartbeat(pulse, 0.01, lambda: (WORKER, [HELD]), on_lost).beating():
        await eventually(lambda: bool(lost))
    assert lost[0] == HELD
    assert set(threads) == {threading.current_thread()}
    assert pulse.closed


async def test_it_beats_while_the_loop_is_blocked() -> None:
    pulse = Counting()
    with heart(pulse, []).beating():
        await eventually(lambda: pulse.beats > 0)
        before = pulse.beats
        threading.Event().wait(0.3)
        assert pulse.beats > before + 3


async def test_it_stops_while_the_loop_hangs_and_goes_on_when_it_turns_again() -> None:
    pulse = Counting()
    with heart(pulse, [], hanging_seconds=0.1).beating():
        await eventually(lambda: pulse.beats > 0)
        threading.Event().wait(0.3)
        before = pulse.beats
        threading.Event().wait(0.3)
        assert pulse.beats <= before + 1, "one may have been under way"
        await asyncio.sleep(0)
        await eventually(lambda: pulse.beats > before + 3)
