"""When a call to somebody else's API is repeated."""

import pytest

from kit.outside_api import ApiFailed, Patience, retried

QUICK = Patience(attempts=3, first_pause_seconds=0)


class Script:
    def __init__(self, *failures: ApiFailed) -> None:
        self.failures, self.calls = list(failures), 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


async def test_a_call_that_may_go_better_is_made_again() -> None:
    script = Script(*[ApiFailed("busy", retryable=True)] * 2)
    assert await retried(script, QUICK) == "done"
    assert script.calls == 3


async def test_the_last_attempts_failure_is_raised() -> None:
    script = Script(*[ApiFailed("busy", retryable=True)] * 3)
    with pytest.raises(ApiFailed, match="busy"):
        await retried(script, QUICK)
    assert script.calls == 3


@pytest.mark.parametrize(
    "failure", [ApiFailed("wrong key"), ApiFailed("come tomorrow", retryable=True, retry_after=86_400)]
)
async def test_what_would_not_help_is_not_done(failure: ApiFailed) -> None:
    script = Script(failure)
    with pytest.raises(ApiFailed):
        await retried(script, QUICK)
    assert script.calls == 1


def test_pauses_double_and_end_at_the_longest() -> None:
    patience = Patience(first_pause_seconds=1, longest_pause_seconds=5)
    for attempt, whole in ((1, 1), (2, 2), (3, 4), (4, 5), (2000, 5)):
        assert whole / 2 <= patience.pause(attempt, None) <= whole
    assert patience.pause(1, 3.0) == 3
