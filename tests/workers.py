"""How the tests are spread over workers: a file's together, and together all that shares one whole Bureau."""

from xdist.scheduler import LoadFileScheduling

TOGETHER = "tests/e2e/"
"""Bureaus are too much to start in every worker, and take fixed ports."""


class Spread(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no type information
    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return TOGETHER if file.startswith(TOGETHER) else file
