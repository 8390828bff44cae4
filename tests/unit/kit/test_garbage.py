"""The collector of cycles stands still while very many objects are made, and goes on afterwards, failure or not."""

import gc

import pytest

from kit.garbage import many_that_stay


@pytest.fixture(autouse=True)
def _as_it_was() -> None:
    gc.collect()


def test_nothing_is_collected_in_the_block_and_what_stays_is_not_looked_at_again() -> None:
    before = gc.get_freeze_count()
    try:
        with many_that_stay():
            assert not gc.isenabled()
            made = [[number] for number in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()


def test_a_failure_leaves_the_collector_running() -> None:
    try:
        with pytest.raises(ValueError, match="in it"), many_that_stay():
            raise ValueError("in it")
        assert gc.isenabled()
    finally:
        gc.unfreeze()
