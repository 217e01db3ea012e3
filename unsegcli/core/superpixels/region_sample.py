"""A sample of regions of bounded size, evenly spread over all regions that were added."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RegionSample:
    """Collects rows and keeps every first, second, fourth ... of them, so that at most `limit` are kept."""

    def __init__(self, limit: int) -> None:
        self.limit, self.every, self.added = limit, 1, 0
        self.columns: list[list[NDArray[Any]]] = []

    def add(self, *columns: NDArray[Any]) -> None:
        """Add rows: arrays of equal length, always the same number of them."""
        self.columns = self.columns or [[] for _ in columns]
        first = -self.added % self.every
        for kept, column in zip(self.columns, columns, strict=True):
            kept.append(column[first :: self.every])
        self.added += len(columns[0])
        while sum(len(part) for part in self.columns[0]) > self.limit:
            self.every *= 2
            self.columns = [[np.concatenate(parts)[::2]] for parts in self.columns]

    def arrays(self) -> list[NDArray[Any]]:
        """Return the kept rows of each column."""
        return [np.concatenate(parts) for parts in self.columns]
