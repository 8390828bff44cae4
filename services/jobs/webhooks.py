"""Tells whoever a job names that it has ended: signed, and again until it is taken. As Standard Webhooks has it
(https://www.standardwebhooks.com), so that receivers check it with any of its libraries.
"""

import asyncio
import json
import random
from datetime import UTC
from typing import Any

import httpx

from kit.clock import Clock
from kit.logs import get_logger
from services.jobs.allowed import Allowed
from services.jobs.errors import StoreAway
from services.jobs.records import JobRecord
from services.jobs.signatures import signed, tenant_key
from services.jobs.webhook_store import Outcome, Webhook, Webhooks

log = get_logger(__name__)

LOOK_SECONDS = 0.5
AWAY_SECONDS = 2.0
TIMEOUT_SECONDS = 15.0
LEASE_SECONDS = 60.0
"""Longer than a whole batch takes, all of which is sent at once."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 6 * 3600.0
MOST_ATTEMPTS = 14
"""With pauses that double from 5 s to 6 h: about a day."""
MOST_RESULT = 64 * 1024
"""Characters of a result that are sent; a longer one is left out, and said to be."""
LONGEST_NOTE = 300


def told(record: JobRecord) -> dict[str, Any]:
    """What is said of a job. An id names job and run: a receiver that has it already has had this message."""
    job = record.as_job()
    data = job.model_dump(
        mode="json",
        include={"job_id", "kind", "title", "owner", "status", "error", "result", "attempt", "cost", "trace_id"},
    )
    if len(json.dumps(data["result"])) > MOST_RESULT:
        data |= {"result": None, "result_omitted": True}
    return {"type": f"job.{job.status}", "timestamp": record.last_update.isoformat(), "data": data}


class Sender:
    """Any number of them may send at once: the store gives each webhook to one at a time."""

    def __init__(
        self, webhooks: Webhooks, client: httpx.AsyncClient, allowed: Allowed, secret: str, clock: Clock
    ) -> None:
        self._webhooks, self._client, self._allowed = webhooks, client, allowed
        self._secret, self._clock = secret, clock

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                pause = 0 if await self.send_due() else LOOK_SECONDS
            except StoreAway as error:
                log.warning("webhooks_away", error=error.detail)
                pause = AWAY_SECONDS
            except Exception:
                # The outermost layer of what is sent: one that breaks must not keep the others from being sent.
                log.exception("webhooks_broke")
                pause = AWAY_SECONDS
            await asyncio.sleep(pause)

    async def send_due(self) -> int:
        """How many it sent."""
        due = await self._webhooks.due(LEASE_SECONDS)
        async with asyncio.TaskGroup() as group:
            for webhook in due:
                group.create_task(self._send(webhook))
        return len(due)

    async def _send(self, webhook: Webhook) -> None:
        outcome, note = await self._ask(webhook.record)
        if outcome is Outcome.RETRY and webhook.attempts >= MOST_ATTEMPTS:
            outcome = Outcome.GIVEN_UP
        log.info("webhook_sent", job=webhook.record.job_id, outcome=outcome, attempt=webhook.attempts)
        try:
            await self._webhooks.settle(webhook, outcome, note[:LONGEST_NOTE], _pause(webhook.attempts))
        except StoreAway as error:
            # It is due again when its lease has run out.
            log.warning("webhook_not_settled", job=webhook.record.job_id, error=error.detail)

    async def _ask(self, record: JobRecord) -> tuple[Outcome, str]:
        url = record.start.webhook_url or ""
        if url not in self._allowed:
            return Outcome.GIVEN_UP, "the address is not under JOBS_HTTP_ALLOWED any more"
        body = json.dumps(told(record), ensure_ascii=False).encode(errors="replace")
        key = tenant_key(self._secret, record.owner.tenant)
        headers = signed(key, f"{record.job_id}.{record.attempt}", self._clock.now().astimezone(UTC), body)
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._client.stream("POST", url, content=body, headers=headers) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, TimeoutError) as error:
            return Outcome.RETRY, f"no answer ({type(error).__name__})"
        if 200 <= status < 300:
            return Outcome.DELIVERED, f"answered {status}"
        return (Outcome.GIVEN_UP if status == 410 else Outcome.RETRY), f"answered {status}"


def _pause(attempt: int) -> float:
    """Seconds before the one that comes after this attempt (1, 2, 3 …)."""
    whole = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1))
    return whole * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
