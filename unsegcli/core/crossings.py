"""Find lines that touch or cross each other elsewhere than at common ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CELL = 16  # side of the squares in which segments are compared
Points = NDArray[np.int64]  # (points, 2): x and y


def crossing_lines(lines: Sequence[Points]) -> list[int]:
    """Return the numbers of the lines that touch or cross another one, or themselves, elsewhere than where both end.

    Args:
        lines: the points of each line, whole numbers, so that the result is exact.
    """
    from unsegcli.core.outline_loops import mark_touching

    kept = [number for number, line in enumerate(lines) if len(line) > 1]
    if not kept:
        return []
    starts = np.concatenate([lines[number][:-1] for number in kept])
    ends = np.concatenate([lines[number][1:] for number in kept])
    line_of = np.repeat(kept, [len(lines[number]) - 1 for number in kept])
    wrong = np.zeros(len(lines), np.bool_)
    cells, segments = _cells(np.minimum(starts, ends), np.maximum(starts, ends))
    mark_touching(cells, segments, starts, ends, line_of, wrong)
    found: list[int] = np.flatnonzero(wrong).tolist()
    return found


def _cells(lowest: Points, highest: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each square and a segment that reaches into it, ordered by squares."""
    first, last = lowest // CELL, highest // CELL
    across, down = (last - first + 1).T
    owner = np.repeat(np.arange(len(first)), across * down)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(across * down) - across * down, across * down)
    column, row = first[owner, 0] + place % across[owner], first[owner, 1] + place // across[owner]
    cell = row * (int(last[:, 0].max()) + 1) + column
    order = np.argsort(cell, kind="stable")
    return cell[order], owner[order]
