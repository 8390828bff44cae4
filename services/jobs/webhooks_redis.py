"""The port of webhooks on Redis or Valkey."""

from typing import Any

from redis.asyncio import Redis

from services.jobs import redis_records as written
from services.jobs.redis_away import store_away
from services.jobs.scripts import PREFIX, Scripts
from services.jobs.store import Bounds
from services.jobs.webhook_store import Outcome, Webhook

BATCH = 20


class RedisWebhooks:
    def __init__(self, redis: "Redis", bounds: Bounds) -> None:
        scripts = Scripts(bounds)
        self._due = redis.register_script(scripts["webhooks_due"])
        self._settle = redis.register_script(scripts["webhook_settle"])

    async def due(self, lease_seconds: float) -> list[Webhook]:
        with store_away():
            rows: Any = await self._due(keys=[PREFIX], args=[BATCH, round(lease_seconds * 1000)])
        return [
            Webhook(written.job_record(tenant, job_id, answer), int(written.as_mapping(answer[0])["webhook_attempts"]))
            for tenant, job_id, *answer in rows
        ]

    async def settle(self, webhook: Webhook, outcome: Outcome, note: str, delay_seconds: float = 0) -> None:
        record = webhook.record
        place = record.owner.tenant, record.job_id, record.attempt
        with store_away():
            await self._settle(keys=[PREFIX], args=[*place, outcome, note, round(delay_seconds * 1000)])
