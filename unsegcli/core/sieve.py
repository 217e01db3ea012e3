"""Merge parts of a label map that are too small into their neighbours."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap, areas, borders, components


def sieve(values: NDArray[np.integer[Any]], smallest: int) -> NDArray[np.int32]:
    """Give each part of fewer than `smallest` pixels the value of the neighbour with the longest common border.

    A part is what is 4-connected and has one value. The smallest part comes first, and of equal ones the first row by
    row; of equal borders the larger neighbour is taken. Parts that thereby touch one of the same value become one. A
    part without neighbours stays.

    Args:
        values: (height, width), negative = void, which is never merged.
        smallest: minimum number of pixels.
    """
    parts = components(values)
    count = int(parts.max(initial=-1)) + 1
    merging = _Merging(parts, values, count)
    queue = [(area, part) for part, area in enumerate(merging.areas) if area < smallest]
    heapq.heapify(queue)
    while queue:
        area, part = heapq.heappop(queue)
        if merging.owners[part] != part or merging.areas[part] != area or not merging.borders[part]:
            continue
        grown = merging.merge(part)
        if merging.areas[grown] < smallest:
            heapq.heappush(queue, (merging.areas[grown], grown))
    result = np.array([*merging.final_values(), -1], np.int32)  # the last one is for void
    return result[parts]


class _Merging:
    """Parts, their areas and common borders, while they are merged."""

    def __init__(self, parts: RegionMap, values: NDArray[np.integer[Any]], count: int) -> None:
        self.areas = [int(area) for area in areas(parts, count)]
        self.owners = list(range(count))
        of_part = np.zeros(count, np.int64)
        of_part[parts[parts >= 0]] = values[parts >= 0]
        self.values = of_part.tolist()
        self.borders: list[dict[int, int]] = [{} for _ in range(count)]
        one, other = borders(parts)
        pairs, lengths = np.unique(one * np.int64(max(count, 1)) + other, return_counts=True)
        for pair, length in zip(pairs.tolist(), lengths.tolist(), strict=True):
            self.borders[pair // count][pair % count] = length

    def merge(self, part: int) -> int:
        """Merge a part into a neighbour, and that with others of its value that it now touches; return what grew."""
        into = max(self.borders[part], key=lambda other: (self.borders[part][other], self.areas[other], -other))
        self._join(part, into)
        for other in [one for one in self.borders[into] if self.values[one] == self.values[into]]:
            self._join(other, into)
        return into

    def _join(self, part: int, into: int) -> None:
        self.owners[part] = into
        self.areas[into] += self.areas[part]
        self.borders[into].pop(part)
        for other, length in self.borders[part].items():
            if other != into:
                del self.borders[other][part]
                self.borders[other][into] = self.borders[into][other] = self.borders[into].get(other, 0) + length
        self.borders[part] = {}

    def final_values(self) -> list[int]:
        """Return the value of each part at the end."""
        found = []
        for part in range(len(self.owners)):
            while self.owners[part] != part:
                part = self.owners[part]
            found.append(int(self.values[part]))
        return found
