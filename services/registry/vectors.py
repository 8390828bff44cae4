"""The agents' embeddings in one matrix, searched whole. Makes no embeddings; needs numpy (the `vectors` extra).

Exact rather than approximate: 10,000 agents with five vectors each are one product of a few milliseconds. Without
numpy the same product takes about a second, so there is no pure Python twin: without this module words decide.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FIRST_ROWS = 64


class Vectors:
    """Rows of unit length, each owned by an agent; the rows of agents that left are used again."""

    def __init__(self, dimensions: int) -> None:
        self._matrix: NDArray[np.float32] = np.zeros((_FIRST_ROWS, dimensions), dtype=np.float32)
        self._owner: NDArray[np.int32] = np.zeros(_FIRST_ROWS, dtype=np.int32)
        self._free = list(range(_FIRST_ROWS))  # rows without owner; they are zero and belong to number 0
        self._rows: dict[str, list[int]] = {}
        self._names: list[str | None] = [None]  # by number; number 0 is nobody
        self._vacant: list[int] = []  # numbers of agents that left

    def put(self, name: str, vectors: Sequence[Sequence[float]]) -> None:
        """Give an agent its vectors in place of any before. Raises ValueError: wrong length or not finite."""
        units = [self._unit(vector) for vector in vectors]
        self.remove(name)
        if not units:
            return
        number = self._vacant.pop() if self._vacant else len(self._names)
        if number == len(self._names):
            self._names.append(None)
        self._names[number] = name
        rows = self._rows[name] = []
        for unit in units:
            if not self._free:
                self._grow()
            row = self._free.pop()
            self._matrix[row], self._owner[row] = unit, number
            rows.append(row)

    def remove(self, name: str) -> None:
        """Forget an agent; one that is not there is no error."""
        rows = self._rows.pop(name, [])
        if rows:
            number = int(self._owner[rows[0]])
            self._names[number] = None
            self._vacant.append(number)
        for row in rows:
            self._matrix[row], self._owner[row] = 0, 0
            self._free.append(row)

    def cosines(self, vector: Sequence[float]) -> dict[str, float]:
        """Every agent that has vectors → cosine of its nearest one, -1..1. Raises ValueError as put() does."""
        nearest = np.full(len(self._names), -1.0, dtype=np.float32)
        np.maximum.at(nearest, self._owner, self._matrix @ self._unit(vector))
        pairs = zip(self._names, nearest.tolist(), strict=True)
        return {name: cosine for name, cosine in pairs if name is not None}

    def _unit(self, vector: Sequence[float]) -> NDArray[np.float32]:
        given = np.asarray(vector, dtype=np.float32)
        if given.shape != (self._matrix.shape[1],):
            raise ValueError(f"a vector of {self._matrix.shape[1]} numbers is wanted, not of shape {given.shape}")
        length = float(np.linalg.norm(given))
        if not np.isfinite(length):
            raise ValueError("a vector holds a number that is not finite")
        return given / np.float32(length) if length else given

    def _grow(self) -> None:
        rows = len(self._owner)
        self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
        self._owner = np.concatenate([self._owner, np.zeros_like(self._owner)])
        self._free.extend(range(rows, 2 * rows))
