"""Bureau's side of the jobs benchmark: starts jobs of one or more steps, on the store or through the HTTP API."""

import argparse
import asyncio
import os

from benchmarks.peers import speak
from bureau.http import Caller
from bureau.jobs import JobsClient
from bureau_contracts.jobs import StartJob
from bureau_contracts.steps import NewStep, StepKind
from kit.http_client import service_http
from kit.identity import Owner, Principal, PrincipalSigner, acting_as
from kit.ids import new_id
from kit.redis import connect
from services.jobs.calls_redis import Calls
from services.jobs.functions import step_function
from services.jobs.news_redis import RedisNews
from services.jobs.steps import StepContext
from services.jobs.store import Bounds, NewJob
from services.jobs.store_redis import RedisJobStore

OWNER = Owner("acme", "ann")
API, PRIVATE_KEY = "BENCH_API", "BUREAU_IDENTITY_PRIVATE_KEY"


@step_function("nothing")
async def nothing(context: StepContext, *, sent: float) -> int:
    if context.index == 0:
        speak.ran(sent)
    return 1


def job(sent: float, steps: int) -> StartJob:
    step = NewStep(name="only", kind=StepKind.FUNCTION, function="nothing", arguments={"sent": sent})
    return StartJob(title="a job", steps=[step.model_copy(update={"name": f"step {n}"}) for n in range(steps)])


async def on_the_store(steps: int) -> None:
    bounds = Bounds()
    async with connect(speak.redis_url()) as redis, Calls(redis, bounds).open() as call:
        store = RedisJobStore(call, redis, RedisNews(redis), bounds.queues)

        async def start(sent: float) -> None:
            await store.start([NewJob(new_id("job"), OWNER, OWNER.user, job(sent, steps))])

        await speak.produce(start)


async def through_the_api(steps: int) -> None:
    signer = PrincipalSigner(os.environ[PRIVATE_KEY], issuer="gateway")
    async with service_http(os.environ[API], audience="jobs", signer=signer) as http:
        client = JobsClient(Caller(http, attempts=1))

        async def start(sent: float) -> None:
            await client.start(job(sent, steps))

        with acting_as(Principal(OWNER.tenant, OWNER.user, scopes=frozenset({"function:nothing"}))):
            await speak.produce(start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.bureau.side", description=__doc__)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--through-the-api", action="store_true")
    arguments = parser.parse_args()
    asyncio.run((through_the_api if arguments.through_the_api else on_the_store)(arguments.steps))


if __name__ == "__main__":
    main()
