"""Compare methods by paired bootstrap: is a difference of scores more than chance?

The scores of each run in each replicate come from the tallies, whose weights of images are the same for all runs. So
what is common to all methods, such as hard images that were drawn often, cancels in a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unsegcli.core.scoring.scores import Floats, middle

LEVEL = 0.95  # of the intervals; 1 - LEVEL is the share of equal methods that are called different


class Difference(NamedTuple):
    """The difference of a score between two methods."""

    value: float  # first minus second
    low: float  # ends of its interval
    high: float
    p: float  # two-sided: how likely equal methods are to differ by as much


def mean_over_seeds(values: Floats, random: np.random.Generator) -> Floats:
    """Return the mean score of a method in each replicate, over seeds that are drawn anew: (replicates,).

    Of S seeds, S - 1 are drawn with replacement, so that the variance of their mean is that of a mean of S seeds (Rao
    and Wu 1988, Journal of the American Statistical Association 83, with m = n - 1); S draws would give too little.
    A single seed is always drawn: then the spread over seeds is not known.

    Args:
        values: (seeds, replicates), the score of each run in each replicate.
        random: source of the draws, of its own for each method.
    """
    seeds, replicates = values.shape
    if seeds == 1:
        return np.asarray(values[0])
    drawn = random.integers(seeds, size=(seeds - 1, replicates))
    mean: Floats = np.take_along_axis(values, drawn, axis=0).mean(axis=0)
    return mean


def difference(scores: tuple[float, float], replicates: tuple[Floats, Floats]) -> Difference:
    """Compare two methods by one score.

    Args:
        scores: of the first and of the second method.
        replicates: their scores in each replicate, paired; NaN = not known.
    """
    drawn = replicates[0] - replicates[1]
    drawn = drawn[~np.isnan(drawn)]
    low, high = middle(drawn, LEVEL)
    tails = [(1 + int(side.sum())) / (1 + drawn.size) for side in (drawn <= 0, drawn >= 0)]
    return Difference(scores[0] - scores[1], low, high, min(1.0, 2 * min(tails)))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979): below 0.05 = the probability of one false find is 0.05."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, at in enumerate(np.argsort(p, kind="stable").tolist()):
        highest = max(highest, min(1.0, p[at] * (len(p) - rank)))
        adjusted[at] = highest
    return adjusted
