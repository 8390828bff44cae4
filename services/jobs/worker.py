"""`python -m services.jobs.worker`: the process that executes jobs. The second composition root, beside app.py."""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack

from bureau.http import Caller
from bureau.runtime import RuntimeClient
from bureau.sessions import SessionsClient
from bureau_contracts.steps import StepKind
from kit.clock import SystemClock
from kit.http_client import outside_http, service_http
from kit.identity import PrincipalSigner
from kit.lifeline import watch_lifeline
from kit.logs import configure_logs
from kit.redis import connect
from kit.settings import SettingsError
from kit.tasks import background
from kit.telemetry import Telemetry
from services.jobs.allowed import Allowed, addresses
from services.jobs.calls_redis import Calls
from services.jobs.engine import Engine, Manner
from services.jobs.execution import Executor
from services.jobs.functions import FunctionRunner, FunctionsError, load_functions
from services.jobs.queue_redis import RedisPulse, RedisWorkQueue
from services.jobs.redis_condition import warn_of_condition
from services.jobs.schedules_redis import RedisSchedules
from services.jobs.settings import Settings, names
from services.jobs.step_agent import AgentRunner
from services.jobs.step_http import HttpRunner
from services.jobs.step_tool import ToolRunner
from services.jobs.steps import Runners
from services.jobs.tender import Tender
from services.jobs.webhooks import Sender
from services.jobs.webhooks_redis import RedisWebhooks

ORPHAN_SECONDS = 1.0
"""How long a worker outlives its parent at most."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.jobs.worker", description="Executes Bureau's jobs.")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment()
        _require_private_key(settings)
        configure_logs("jobs-worker", level=settings.common.log_level, form=settings.common.log_format)
        asyncio.run(run(settings, lifeline=arguments.lifeline))
    except (SettingsError, FunctionsError) as error:
        sys.exit(f"services.jobs.worker: {error}")


def _require_private_key(settings: Settings) -> None:
    if not settings.common.identity_private_key.get_secret_value():
        raise SettingsError("BUREAU_IDENTITY_PRIVATE_KEY is needed: a worker acts on behalf of jobs' owners")


async def run(settings: Settings, *, lifeline: bool = False) -> None:
    """Until SIGTERM, SIGINT or the end of the lifeline."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline:
        watch_lifeline(lambda: _end(loop, stop))
    telemetry = Telemetry("jobs-worker", settings.common.otlp_endpoint, settings.common.trace_sample_ratio)
    async with AsyncExitStack() as opened:
        opened.callback(telemetry.close)
        redis = await opened.enter_async_context(connect(settings.redis_url, connections=settings.concurrency + 10))
        # Of its own, and with a longer time-out, because it waits on purpose.
        blocking = await opened.enter_async_context(connect(settings.redis_url, timeout_seconds=10, connections=1))
        call = await opened.enter_async_context(Calls(redis, settings.bounds).open())
        outside = await opened.enter_async_context(outside_http(timeout_seconds=120, connect_seconds=2))
        allowed = Allowed(addresses(settings.http_allowed))
        secret = settings.webhook_secret.get_secret_value()
        if secret:
            sender = Sender(RedisWebhooks(call), outside, allowed, secret, SystemClock())
            await opened.enter_async_context(background(sender.run()))
        engine = Engine(
            queue=RedisWorkQueue(call, blocking, settings.served),
            pulse=RedisPulse(settings.redis_url, settings.bounds),
            executor=Executor(
                await _runners(settings, opened, HttpRunner(outside, allowed, settings.max_result_bytes)),
                max_result_bytes=settings.max_result_bytes,
                retry_first_seconds=settings.retry_first_seconds,
                retry_longest_seconds=settings.retry_longest_seconds,
            ),
            telemetry=telemetry,
            tender=Tender(RedisSchedules(call)),
            worker_id=f"worker-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
            manner=Manner(
                concurrency=settings.concurrency,
                queues=settings.served,
                lease_seconds=settings.lease_seconds,
                shutdown_seconds=settings.shutdown_seconds,
            ),
        )
        async with background(warn_of_condition(redis)):
            await engine.run(stop)


def _end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Our parent is gone: a moment to hand over, not the whole grace. What is left, the leases take care of."""
    loop.call_soon_threadsafe(stop.set)
    time.sleep(ORPHAN_SECONDS)
    os._exit(0)


async def _runners(settings: Settings, opened: AsyncExitStack, http: HttpRunner) -> Runners:
    signer = PrincipalSigner(settings.common.identity_private_key.get_secret_value(), issuer="jobs")

    async def caller(url: str, audience: str) -> Caller:
        client = service_http(url, audience=audience, signer=signer)
        # One attempt: a step's attempts are the one layer that retries.
        return Caller(await opened.enter_async_context(client), attempts=1)

    sessions = SessionsClient(await caller(settings.sessions_url, "sessions"))
    runtime = RuntimeClient(await caller(settings.runtime_url, "runtime"))
    modules = names(settings.function_modules)
    return {
        StepKind.AGENT: AgentRunner(sessions, runtime),
        StepKind.TOOL: ToolRunner(runtime),
        StepKind.FUNCTION: FunctionRunner(load_functions(modules)),
        StepKind.HTTP: http,
    }


if __name__ == "__main__":
    main()
