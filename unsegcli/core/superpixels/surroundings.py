"""What lies around each region: means of the features of its neighbours, over four sorts of neighbourhood.

Only regions that touch are neighbours, and the means spread from neighbour to neighbour, so the cost grows with the
number of regions, and an image has no special point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from unsegcli.core.superpixels.regions import RegionMap, borders

SORTS = ("adjacent", "near", "above", "below")
ROUNDS = 5  # that the mean of `near` spreads, in steps from neighbour to neighbour
REACH = 0.75  # share of `above` and `below` that is from further away than the next region, at each step
STEPS = 10  # of `above` and `below`
STEEP = 0.5  # rows per column: a neighbour is above or below if the line between the centres is steeper


def surroundings(
    features: NDArray[np.float32], regions: RegionMap, centres: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Compute the mean features around each region: (regions, sorts * dimensions), in the order of SORTS.

    Neighbours count by the length of the common border. A region without a neighbour is its own surroundings.

    Args:
        features: (regions, dimensions).
        regions: (height, width), 0 to n - 1; -1 = no region.
        centres: (regions, 2): row and column, in pixels.
    """
    one, other, length = _touching(regions, len(features))
    down, across = (centres[other] - centres[one]).T
    steep = np.abs(down) > STEEP * np.abs(across)
    apart = np.sqrt(down**2 + across**2) + 1e-9
    count = len(features)
    around = averaging_matrix(one, other, length, count)
    adjacent = around @ features
    near = adjacent
    for _ in range(ROUNDS - 1):
        near = around @ near
    shares = [length * np.maximum(sign * down, 0) / apart * steep for sign in (-1, 1)]
    # Both directions are computed at once, as if they were two images.
    beside = averaging_matrix(
        np.concatenate([one, one + count]), np.concatenate([other, other + count]), np.concatenate(shares), 2 * count
    )
    twice = np.concatenate([features, features])
    seen = twice
    for _ in range(STEPS):
        seen = beside @ ((1 - REACH) * twice + REACH * seen)
    result: NDArray[np.float32] = np.concatenate([adjacent, near, seen[:count], seen[count:]], axis=1).astype(
        np.float32
    )
    return result


def _touching(regions: RegionMap, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of regions that touch, in both directions, and the length of their border in pixels."""
    one, other = borders(regions)
    pairs, length = np.unique(one * np.int64(max(1, count)) + other, return_counts=True)
    return pairs // max(1, count), pairs % max(1, count), length


def averaging_matrix(
    one: NDArray[np.int64], other: NDArray[np.int64], shares: NDArray[np.float64] | NDArray[np.int64], count: int
) -> csr_array:
    """Make the matrix that averages over neighbours by their shares; regions without any are mapped to themselves.

    Args:
        one: (pairs,) regions, in ascending order.
        other: (pairs,) a neighbour of each, in ascending order for each region.
        shares: (pairs,)
        count: number of regions.
    """
    alone = np.flatnonzero(np.bincount(one, shares, minlength=count) <= 0)
    rows, columns = np.concatenate([one, alone]), np.concatenate([other, alone])
    values = np.concatenate([np.asarray(shares, np.float64), np.ones(len(alone))])
    values /= np.bincount(rows, values, minlength=count)[rows]
    if len(alone):
        order = np.argsort(rows, kind="stable")
        columns, values = columns[order], values[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    return csr_array((values, columns, starts), shape=(count, count))
