"""Who kills workers, replicas of the API and Redis, one after the other, and stops a worker for a while."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from bureau.jobs import JobsClient
from tests.chaos.jobs_doers import persist
from tests.chaos.jobs_processes import JobsProcess, JobsStack

KILLED = ("worker", "worker", "worker", "api", "valkey")
"""Of each round, in any order."""
KILLED_OR_STOPPED = (*KILLED, "stopped worker")


async def kill_now_and_then(
    stack: JobsStack,
    jobs: JobsClient,
    chance: Random,
    going: Callable[[], bool],
    pauses: tuple[float, float],
    victims: Sequence[str] = KILLED,
) -> None:
    """At least one round."""
    first = True
    while first or going():
        for victim in chance.sample(victims, len(victims)):
            await asyncio.sleep(chance.uniform(*pauses))
            away = chance.uniform(0, 1.5)
            match victim:
                case "valkey":
                    await stack.kill_valkey(away)
                case "api":
                    await stack.kill(chance.choice(stack.apis), away)
                case "worker":
                    await stack.kill(await busiest(stack, jobs), away)
                case _:
                    await stack.stop(await busiest(stack, jobs), chance.uniform(3, 9))
            if not first and not going():
                break
        first = False


async def busiest(stack: JobsStack, jobs: JobsClient) -> JobsProcess:
    """The worker that has the most jobs."""
    load = {worker.worker_id: len(worker.job_ids) for worker in (await persist(jobs.workers)).workers}
    return max(
        stack.workers, key=lambda worker: max((load[each] for each in load if f"-{worker.pid}-" in each), default=0)
    )
