"""What is said of a Redis' settings, of what it says itself."""

from typing import Any

import pytest

from services.jobs.redis_condition import judge

GOOD: dict[str, Any] = {
    "aof_enabled": 1, "aof_last_write_status": "ok", "maxmemory": 10**9, "maxmemory_policy": "noeviction",
    "role": "master", "connected_slaves": 2, "min_slaves_good_slaves": 2,
}  # fmt: skip


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_a_redis_that_keeps_everything_gets_no_advice() -> None:
    condition = judge(GOOD, "always")
    assert (condition.advice, condition.notes) == ([], [])


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        (GOOD | {"aof_enabled": 0}, "appendonly yes"),
        (GOOD | {"aof_last_write_status": "err"}, "cannot be written"),
        (GOOD | {"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy noeviction"),
        (without("min_slaves_good_slaves"), "min-replicas-to-write 1"),
        (GOOD | {"min_slaves_good_slaves": 0}, "refuses to write"),
    ],
)
def test_what_loses_or_refuses_jobs_is_advised_against(facts: dict[str, Any], advice: str) -> None:
    (said,) = judge(facts, "always").advice
    assert advice in said


@pytest.mark.parametrize(
    ("facts", "fsync", "note"),
    [
        (GOOD, "everysec", "the last second"),
        (GOOD, "no", "half a minute"),
        (GOOD, None, "cannot be told"),
        (GOOD | {"maxmemory": 0}, "always", "no `maxmemory`"),
    ],
)
def test_what_is_worth_knowing_is_a_note(facts: dict[str, Any], fsync: str | None, note: str) -> None:
    condition = judge(facts, fsync)
    (said,) = condition.notes
    assert note in said
    assert condition.advice == []


def test_a_single_server_needs_no_replicas() -> None:
    assert judge(without("min_slaves_good_slaves") | {"connected_slaves": 0}, "always").advice == []
