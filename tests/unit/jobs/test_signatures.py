"""Webhooks are signed as Standard Webhooks has it."""

import base64
from datetime import UTC, datetime

from services.jobs.signatures import as_text, signed, tenant_key

AT = datetime.fromtimestamp(1614265330, UTC)


def test_a_message_is_signed_as_in_the_published_example() -> None:
    """https://docs.svix.com/receiving/verifying-payloads/how-manual, the example of its libraries' tests."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", AT, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_each_tenant_has_a_key_of_its_own() -> None:
    assert tenant_key("secret", "acme") != tenant_key("secret", "bolt")
    assert tenant_key("secret", "acme") == tenant_key("secret", "acme")
    assert base64.b64decode(as_text(tenant_key("secret", "acme")).removeprefix("whsec_")) == tenant_key(
        "secret", "acme"
    )


def test_another_body_has_another_signature() -> None:
    key = tenant_key("secret", "acme")
    one, other = (signed(key, "job-1.1", AT, body)["webhook-signature"] for body in (b"1", b"2"))
    assert one != other
