"""A whole Bureau, as `make up` starts it: how soon it is ready, how long a turn takes, how well `/agent/route` routes.

`python -m benchmarks.whole_trip [--quick]`. The turn's reference is the sum of what its parts take when they are asked
one by one, on the same connections; routing's is rank_bm25 over the same cards. Nothing is cached between them.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from benchmarks.routing import reference
from benchmarks.routing_data import Asked, MalformedData, first_cards, load_clinc
from bureau import Bureau
from bureau_contracts.registry import RegisterAgent
from bureau_contracts.sessions import NewMessage, NewTurn, Role
from examples.demo.system import System, throw_away_system
from kit.ids import new_id
from services.registry.cards import Card

DATA_NEEDED = "routing through the API needs ../shared/data/clinc150-train.json, which is not here"
CALLERS = 4
AT_RANKS = (1, 5)


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_trip")
    parser.add_argument("--quick", action="store_true", help="fewer turns and utterances")
    quick = parser.parse_args().quick
    try:
        clinc = load_clinc()
    except MalformedData as error:
        print(error)
        return 1
    with throw_away_system({"SESSIONS_MAX_MESSAGES_PER_MINUTE": "0"}) as system:
        cold = system.start()
        system.stop()
        warm = system.start()
        print(f"ready after {cold:.1f} s the first time, {warm:.1f} s warm; {_megabytes(system)} MB in all processes")
        async with Bureau(system.url, system.api_key) as bureau:
            await print_turns(bureau, 50 if quick else 500)
            if clinc is None:
                print(DATA_NEEDED)
                return 0
            utterances = clinc.validation[:: 10 if quick else 1]
            await print_routing(bureau, first_cards(clinc.train), utterances)
    return 0


async def print_turns(bureau: Bureau, turns: int) -> None:
    """A turn with the offline model, which takes no time to speak of, against its parts asked one after the other."""
    session_id = (await bureau.chat("show my tickets")).session_id

    async def turn() -> None:
        await bureau.chat("show my tickets", session_id=session_id)

    async def parts() -> None:
        await bureau.agents.search("show my tickets")
        await bureau.memory.search("show my tickets")
        await bureau.sessions.get(session_id, history_limit=20)
        lease = await bureau.sessions.acquire_lease(session_id, "benchmark")
        said = [NewMessage(role=Role.USER, content="x"), NewMessage(role=Role.ASSISTANT, content="y")]
        written = NewTurn(turn_id=new_id("turn"), messages=said, fencing_token=lease.fencing_token)
        await bureau.sessions.turn(session_id, written)
        await bureau.sessions.release_lease(session_id, lease.fencing_token)

    ours, theirs = await _alternating(turn, parts, turns)
    print(f"one turn through the gateway   p50 {ours[0]:6.1f} ms   p99 {ours[1]:6.1f} ms")
    ratio = ours[0] / theirs[0]
    print(f"its parts, one by one          p50 {theirs[0]:6.1f} ms   p99 {theirs[1]:6.1f} ms   {ratio:.2f} ×")


async def print_routing(bureau: Bureau, cards: list[Card], utterances: Asked) -> None:
    """Registers an agent per card, asks `/agent/route` for every utterance, and ranks the same by rank_bm25."""
    async for agent in bureau.agents.all():
        await bureau.agents.delete(agent.name)
    for card in cards:
        record = {
            "name": card.name, "description": card.description, "http": "http://127.0.0.1:1",
            "capabilities": {"example_queries": card.examples},
        }  # fmt: skip
        await bureau.agents.register(RegisterAgent.model_validate(record))

    took: list[float] = []
    places: list[int | None] = []
    waiting = iter(utterances)

    async def caller() -> None:
        for text, right in waiting:
            began = time.perf_counter()
            answer = await bureau.route(text, limit=max(AT_RANKS))
            took.append((time.perf_counter() - began) * 1000)
            places.append(_place([candidate.name for candidate in answer.candidates], right))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())
    rank = reference(cards)
    known = [_place([name for name, _ in rank(text)][: max(AT_RANKS)], right) for text, right in utterances]
    print(f"/agent/route over {len(cards)} agents, {len(utterances)} utterances   p50 {statistics.median(took):.1f} ms"
          f" with {CALLERS} callers")  # fmt: skip
    for name, found in (("bureau", places), ("rank_bm25", known)):
        shares = "   ".join(f"top-{n} {sum(p is not None and p < n for p in found) / len(found):.3f}" for n in AT_RANKS)
        print(f"  {name:10} {shares}")


async def _alternating(
    first: Callable[[], Awaitable[None]], second: Callable[[], Awaitable[None]], times: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """p50 and p99 in milliseconds of both, measured in turns."""
    took: tuple[list[float], list[float]] = ([], [])
    for act in (first, second):
        for _ in range(5):
            await act()
    for _ in range(times):
        for act, results in zip((first, second), took, strict=True):
            began = time.perf_counter()
            await act()
            results.append((time.perf_counter() - began) * 1000)
    a, b = (statistics.quantiles(results, n=100) for results in took)
    return (a[49], a[98]), (b[49], b[98])


def _place(names: list[str], right: str) -> int | None:
    return names.index(right) if right in names else None


def _megabytes(system: System) -> int:
    launcher = psutil.Process(system.pid)
    processes = [launcher, *launcher.children(recursive=True)]
    return round(sum(_proportional_bytes(process) for process in processes) / 2**20)


def _proportional_bytes(process: psutil.Process) -> int:
    """PSS where the system tells it (Linux), RSS elsewhere."""
    smaps = Path(f"/proc/{process.pid}/smaps_rollup")
    if smaps.exists():
        return sum(int(line.split()[1]) * 1024 for line in smaps.read_text().splitlines() if line.startswith("Pss:"))
    return int(process.memory_info().rss)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
