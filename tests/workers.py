"""How the tests are spread over workers: a file's together, and together all that shares one whole Bureau. What takes
long comes first, so that no worker is left with it at the end."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

TOGETHER = "tests/e2e/"
"""Bureaus are too much to start in every worker, and take fixed ports."""
LONG = (TOGETHER, "tests/chaos/", "tests/integration/")


class Spread(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no type information
    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # xdist would put files of few tests last: the long walks of the models are one test each.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return TOGETHER if file.startswith(TOGETHER) else file

    def _assign_work_unit(self, node: Any) -> None:
        for beginning in reversed(LONG):
            for scope in [each for each in self.workqueue if each.startswith(beginning)]:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)
