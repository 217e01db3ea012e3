"""Find lines that touch or cross each other elsewhere than at common ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

CELL = 16  # side of the squares in which segments are compared
Points = NDArray[np.int64]  # (points, 2): x and y


def crossing_lines(lines: Sequence[Points]) -> list[int]:
    """Return the numbers of the lines that touch or cross another one, or themselves, elsewhere than where both end.

    Args:
        lines: the points of each line, whole numbers, so that the result is exact.
    """
    kept = [number for number, line in enumerate(lines) if len(line) > 1]
    if not kept:
        return []
    starts = np.concatenate([lines[number][:-1] for number in kept])
    ends = np.concatenate([lines[number][1:] for number in kept])
    line_of = np.repeat(kept, [len(lines[number]) - 1 for number in kept])
    found: set[int] = set()
    for one, other in _near(np.minimum(starts, ends), np.maximum(starts, ends)):
        wrong = _touching(starts[one], ends[one], starts[other], ends[other])
        found.update(line_of[one[wrong]].tolist(), line_of[other[wrong]].tolist())
    return sorted(found)


def _near(lowest: Points, highest: Points) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of segments that reach into a common square."""
    first, last = lowest // CELL, highest // CELL
    across, down = (last - first + 1).T
    owner = np.repeat(np.arange(len(first)), across * down)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(across * down) - across * down, across * down)
    column, row = first[owner, 0] + place % across[owner], first[owner, 1] + place // across[owner]
    cell = row * (int(last[:, 0].max()) + 1) + column
    order = np.argsort(cell, kind="stable")
    cell, owner = cell[order], owner[order]
    for distance in range(1, len(cell)):
        same = np.flatnonzero(cell[distance:] == cell[:-distance])
        if not same.size:
            return
        yield owner[same], owner[same + distance]


def _touching(p: Points, q: Points, r: Points, s: Points) -> NDArray[np.bool_]:
    """Return whether segments pq and rs have a point in common that is not an end of both."""
    turns = [np.sign(_turn(*three)) for three in ((p, q, r), (p, q, s), (r, s, p), (r, s, q))]
    boxes = (np.minimum(p, q) <= np.maximum(r, s)) & (np.minimum(r, s) <= np.maximum(p, q))
    meet = (turns[0] * turns[1] <= 0) & (turns[2] * turns[3] <= 0) & boxes.all(axis=1)
    for a, b, c, d in ((p, q, r, s), (p, q, s, r), (q, p, r, s), (q, p, s, r)):
        shared = (a == c).all(axis=1)  # then they may only part from there, in different directions
        ahead = ((b - a) * (d - c)).sum(axis=1) > 0
        meet = np.where(shared, (_turn(a, b, d) == 0) & ahead, meet)
    return meet


def _turn(a: Points, b: Points, c: Points) -> NDArray[np.int64]:
    """Return twice the signed area of triangles abc."""
    turn: NDArray[np.int64] = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return turn
