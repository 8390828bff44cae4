"""The agents' embeddings in one matrix, searched whole. Makes no embeddings; needs numpy (the `vectors` extra).

Exact rather than approximate: 10,000 agents with five vectors each are one product of a few milliseconds. Without
numpy the same product takes about a second, so there is no pure Python twin: without this module words decide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.registry.meaning import Nearness

_FIRST_ROWS = 64

Floats = NDArray[np.float32]


class Vectors:
    """Rows of unit length, each owned by an agent; the rows of agents that left are used again."""

    def __init__(self, dimensions: int) -> None:
        self._matrix: Floats = np.zeros((_FIRST_ROWS, dimensions), dtype=np.float32)
        self._owner: NDArray[np.int32] = np.zeros(_FIRST_ROWS, dtype=np.int32)
        self._free = list(range(_FIRST_ROWS))[::-1]  # rows without owner; they are zero and belong to number 0
        self._used = 0  # rows from here on have never been used
        self._rows: dict[str, list[int]] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str | None] = [None]  # by number; number 0 is nobody
        self._lengths: Floats = np.ones(_FIRST_ROWS, dtype=np.float32)  # by number: of the sum of its rows
        self._vacant: list[int] = []  # numbers of agents that left

    @property
    def dimensions(self) -> int:
        return int(self._matrix.shape[1])

    @property
    def megabytes(self) -> float:
        return self._matrix.nbytes / 1e6

    def put(self, name: str, vectors: Sequence[Sequence[float] | Floats]) -> None:
        """Give an agent its vectors in place of any before. Raises ValueError: wrong length or not finite."""
        units = [self._unit(vector) for vector in vectors]
        self.remove(name)
        if not units:
            return
        number = self._numbers[name] = self._vacant.pop() if self._vacant else len(self._names)
        if number == len(self._names):
            self._names.append(None)
        if number == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.ones_like(self._lengths)])
        self._names[number] = name
        # Vectors that cancel out have no direction together: any length does.
        self._lengths[number] = float(np.linalg.norm(np.sum(units, axis=0))) or 1.0
        rows = self._rows[name] = []
        for unit in units:
            if not self._free:
                self._grow()
            row = self._free.pop()
            self._matrix[row], self._owner[row] = unit, number
            self._used = max(self._used, row + 1)
            rows.append(row)

    def remove(self, name: str) -> None:
        """Forget an agent; one that is not there is no error."""
        rows = self._rows.pop(name, [])
        if rows:
            number = self._numbers.pop(name)
            self._names[number] = None
            self._vacant.append(number)
        for row in rows:
            self._matrix[row], self._owner[row] = 0, 0
            self._free.append(row)

    def of(self, name: str) -> list[Floats]:
        """An agent's vectors, in the order in which they were put; none when it has none."""
        return [self._matrix[row].copy() for row in self._rows.get(name, [])]

    def cosines(self, vector: Sequence[float] | Floats) -> "Cosines":
        """How near every agent is that has vectors. Raises ValueError as put() does."""
        products, owner = self._matrix[: self._used] @ self._unit(vector), self._owner[: self._used]
        nearest = np.full(len(self._names), -1.0, dtype=np.float32)
        np.maximum.at(nearest, owner, products)
        sums = np.bincount(owner, weights=products, minlength=len(self._names))
        return Cosines(self._names, self._numbers, nearest, sums / self._lengths[: len(self._names)])

    def _unit(self, vector: Sequence[float] | Floats) -> Floats:
        given = np.asarray(vector, dtype=np.float32)
        if given.shape != (self.dimensions,):
            raise ValueError(f"a vector of {self.dimensions} numbers is wanted, not of shape {given.shape}")
        length = float(np.linalg.norm(given))
        if not np.isfinite(length):
            raise ValueError("a vector holds a number that is not finite")
        return given / np.float32(length) if length else given

    def _grow(self) -> None:
        rows = len(self._owner)
        self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
        self._owner = np.concatenate([self._owner, np.zeros_like(self._owner)])
        self._free.extend(range(2 * rows - 1, rows - 1, -1))


@dataclass(frozen=True)
class Cosines:
    """Of one query to every agent. Good until the next put() or remove()."""

    names: Sequence[str | None]
    numbers: dict[str, int]
    nearest: Floats
    centre: NDArray[np.float64]

    def of(self, name: str) -> Nearness | None:
        number = self.numbers.get(name)
        return None if number is None else Nearness(float(self.nearest[number]), float(self.centre[number]))

    def best_first(self, nearest: float, centre: float) -> Iterator[tuple[str, float]]:
        """Agents by the falling sum of both cosines, each times its weight; and that sum."""
        amounts = nearest * self.nearest + centre * self.centre
        for number in np.argsort(-amounts, kind="stable").tolist():
            name = self.names[number]
            if name is not None:
                yield name, float(amounts[number])
