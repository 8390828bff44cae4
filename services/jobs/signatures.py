"""What webhooks are signed with, and how: as Standard Webhooks has it (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
from datetime import datetime


def tenant_key(secret: str, tenant: str) -> bytes:
    """What this tenant's webhooks are signed with. Tenants cannot reckon each other's."""
    return hmac.digest(secret.encode(), tenant.encode(), hashlib.sha256)


def as_text(key: bytes) -> str:
    """As libraries of Standard Webhooks take a key."""
    return "whsec_" + base64.b64encode(key).decode()


def signed(key: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message."""
    seconds = str(int(at.timestamp()))
    signature = hmac.digest(key, f"{message_id}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }
