"""What the memory cannot work with ends its start."""

import pytest
from pydantic import ValidationError

from services.memory.extraction import READINGS
from services.memory.settings import Settings


def test_connections_are_enough_for_those_who_hold_one_while_they_ask_for_another() -> None:
    readings_and_the_upkeep = READINGS + 1
    with pytest.raises(ValidationError, match="pool_size"):
        Settings(pool_size=readings_and_the_upkeep)
    assert Settings(pool_size=readings_and_the_upkeep + 1)
