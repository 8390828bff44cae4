"""The port of webhooks on Redis or Valkey."""

from collections.abc import Sequence

from kit.logs import get_logger
from services.jobs import redis_records as written
from services.jobs.calls_redis import Calls
from services.jobs.webhook_store import Outcome, Webhook

log = get_logger(__name__)

BATCH = 20


class RedisWebhooks:
    def __init__(self, call: Calls) -> None:
        self._call = call

    async def due(self, lease_seconds: float) -> list[Webhook]:
        rows = await self._call("webhooks_due", BATCH, round(lease_seconds * 1000))
        return [webhook for row in rows if (webhook := _webhook(*row)) is not None]

    async def settle(self, webhook: Webhook, outcome: Outcome, note: str, delay_seconds: float = 0) -> None:
        record = webhook.record
        place = record.owner.tenant, record.job_id, record.attempt
        await self._call("webhook_settle", *place, outcome, note, round(delay_seconds * 1000))


def _webhook(tenant: str, job_id: str, attempts: int, *answer: Sequence[str]) -> Webhook | None:
    try:
        return Webhook(written.job_record(tenant, job_id, answer), attempts)
    except Exception:
        # Of a newer version, say. The others shall be told all the same.
        log.exception("job_unreadable", job=job_id)
        return None
