"""The connected parts of a label map that is read in bands of a few rows.

A *piece* is what is connected within a band. Pieces are numbered through, row by row, and joined to parts at the end.
Small parts are merged then, too, as `sieve` describes: what is known of pieces and their borders is enough for that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap, borders, components, contiguous

Numbers = NDArray[np.int32]
Pairs = NDArray[np.int64]  # (rows, pairs)


@dataclass(frozen=True)
class Parts:
    """The parts, numbered row by row in the order of their first pixels."""

    of_piece: Numbers  # part of each piece, -1 = none; at the end -1, for void
    values: Numbers  # (parts,)
    areas: NDArray[np.int64]  # (parts,), pixels
    last_rows: NDArray[np.int64]  # (parts,)

    def only(self, values: Collection[int]) -> Parts:
        """Return the parts that have one of these values."""
        kept = np.isin(self.values, list(values))
        if kept.all():
            return self
        number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
        return Parts(number[self.of_piece], self.values[kept], self.areas[kept], self.last_rows[kept])


class PieceNumbers:
    """Numbers the pieces of bands, one after the other."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, values: NDArray[np.integer[Any]]) -> RegionMap:
        """Return the pieces of a band (rows, width) of categories, negative = void, which is -1."""
        pieces = components(values)
        count = int(pieces.max(initial=-1)) + 1
        pieces[pieces >= 0] += np.int32(self.count)
        self.count += count
        return pieces


class BandPieces:
    """Collects the pieces of a map, a band after the other."""

    def __init__(self, smallest: int = 0) -> None:
        """Begin with the first row.

        Args:
            smallest: parts of fewer pixels are merged into neighbours.
        """
        self._smallest = smallest
        self._numbers = PieceNumbers()
        self._row = 0
        self._values: list[NDArray[Any]] = []
        self._areas: list[NDArray[Any]] = []
        self._last_rows: list[NDArray[Any]] = []
        self._same: list[Pairs] = []  # pieces of one part in two bands
        self._borders: list[Pairs] = []  # two pieces, and the length of their border
        self._above: tuple[NDArray[Any], RegionMap] | None = None  # last row: values, pieces

    def add(self, values: NDArray[np.integer[Any]]) -> RegionMap:
        """Note a band (rows, width) of categories, negative = void; return the pieces, -1 = void."""
        first = self._numbers.count
        pieces = self._numbers.of(values)
        inside = pieces >= 0
        local = pieces[inside] - first
        rows = np.repeat(np.arange(self._row, self._row + len(values)), values.shape[1]).reshape(values.shape)
        of_piece, last = (np.zeros(self._numbers.count - first, dtype) for dtype in (np.int32, np.int64))
        of_piece[local] = values[inside]
        last[local] = rows[inside]  # the last assignment to an index wins
        sizes = np.bincount(local, minlength=len(last))
        if self._smallest > 1:
            one, other = borders(pieces)
            small = (sizes[one - first] < self._smallest) | (sizes[other - first] < self._smallest)
            self._borders.append(_counted(one[small], other[small]))
        self._note_meeting(values[0], pieces[0])
        for noted, found in ((self._values, of_piece), (self._areas, sizes), (self._last_rows, last)):
            noted.append(found)
        self._above = values[-1], pieces[-1]
        self._row += len(values)
        return pieces

    def _note_meeting(self, values: NDArray[Any], pieces: RegionMap) -> None:
        """Note what lies above and below each other where two bands meet."""
        if self._above is None:
            return
        above, over = self._above
        both = (over >= 0) & (pieces >= 0)
        same = both & (above == values)
        self._same.append(np.unique(np.stack([over[same], pieces[same]]).astype(np.int64), axis=1))
        if self._smallest > 1:
            one, other = over[both & ~same], pieces[both & ~same]
            self._borders += [_counted(one, other), _counted(other, one)]

    def parts(self) -> Parts:
        """Return the parts of all bands, small ones merged."""
        values = np.concatenate(self._values) if self._values else np.zeros(0, np.int32)
        joined = _joined(len(values), np.concatenate([np.zeros((2, 0), np.int64), *self._same], axis=1))
        parts = _summed(joined, values, *(np.concatenate(one) for one in (self._areas, self._last_rows)))
        if self._smallest < 2 or not len(parts.values):
            return parts
        owners = self._owners(parts)
        merged = _summed(contiguous(owners[None])[0], parts.values[owners], parts.areas, parts.last_rows)
        return replace(merged, of_piece=merged.of_piece[parts.of_piece])

    def _owners(self, parts: Parts) -> Numbers:
        """Return for each part the one that it is merged into, or itself."""
        from unsegcli.core.sieve_loops import merge_small

        one, other, length = np.concatenate([np.zeros((3, 0), np.int64), *self._borders], axis=1)
        one, other, length = _counted(parts.of_piece[one], parts.of_piece[other], length)
        kept = parts.areas[one] < self._smallest
        one, other, length = one[kept], other[kept], length[kept]
        count = len(parts.values)
        starts = np.searchsorted(one, np.arange(count + 1))
        owners = np.arange(count)
        merge_small(self._smallest, parts.areas.copy(), parts.values, (starts, other, length), owners)
        while (owners[owners] != owners).any():
            owners = owners[owners]
        found: Numbers = owners.astype(np.int32)
        return found


def _counted(one: NDArray[Any], other: NDArray[Any], lengths: NDArray[np.int64] | None = None) -> Pairs:
    """Add up the lengths of equal pairs, None = 1 each: one, other and length, in order."""
    if not len(one):
        return np.zeros((3, 0), np.int64)
    one, other = one.astype(np.int64), other.astype(np.int64)
    count = int(other.max()) + 1
    pairs, place = np.unique(one * count + other, return_inverse=True)
    return np.stack([pairs // count, pairs % count, np.bincount(place, lengths).round().astype(np.int64)])


def _joined(count: int, same: Pairs) -> Numbers:
    """Number what is connected by pairs, in order of appearance: (count,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(same.shape[1], np.int8), (same[0], same[1])), shape=(count, count))
    found: Numbers = contiguous(connected_components(links, directed=False)[1][None])[0]
    return found


def _summed(numbers: Numbers, values: Numbers, sizes: NDArray[np.int64], last_rows: NDArray[np.int64]) -> Parts:
    """Return the parts whose pieces have these numbers, values, areas and last rows."""
    count = int(numbers.max(initial=-1)) + 1
    found, last = np.zeros(count, np.int32), np.zeros(count, np.int64)
    found[numbers] = values
    np.maximum.at(last, numbers, last_rows)
    total = np.bincount(numbers, sizes, minlength=count).astype(np.int64)
    return Parts(np.append(numbers, np.int32(-1)), found, total, last)
