"""How many clusters points have, by whether a grouping repeats itself on other points of the same kind.

Points and their weights in, one score for each number out. Labels and images are unknown here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.scoring.confusion import confusion
from unsegcli.core.scoring.scores import adjusted_rand_index
from unsegcli.errors import ConfigError, DataError

Floats = NDArray[np.float64]

FEWEST = 2  # clusters: a single one always repeats itself
LARGEST_HALF = 1500  # points in each half; more make the curve smoother, and cost time
DRAWS = 10  # times that the points are parted
STARTS, ITERATIONS = 2, 50  # of each k-means
SURE = 0.98  # from which on two clusters are more than light and dark, which reach 0.96 in photographs
STRONG = 0.8  # from which on a grouping is said to repeat itself, as in Tibshirani and Walther (2005)


@dataclass(frozen=True)
class Curve:
    """How well each number of clusters repeats itself."""

    numbers: tuple[int, ...]  # rising
    scores: tuple[float, ...]  # of each: 1 = the two groupings are one, 0 = they agree as by chance
    chosen: int

    @property
    def is_clear(self) -> bool:
        """Whether the number stands out: it repeats itself better than those beside it, and well."""
        return self.chosen in _peaks(self.numbers, self.scores)


def stability_curve(points: NDArray[Any], weights: NDArray[Any], most: int, *, seed: int) -> Curve:
    """Part the points at random in two halves, cluster both, and see whether both centres part one half alike.

    Each half is drawn by weight, so that a large region counts more. The agreement is the adjusted Rand index, the
    mean over draws and over both halves. Tibshirani and Walther (2005) compare in this way; `Deviation:` they take the
    share of pairs that stay together in the worst cluster, which is not corrected for chance.

    Args:
        points: (points, dimensions), as scaled for k-means.
        weights: (points,), not negative.
        most: clusters that are tried, at most.
        seed: of halves and of k-means.
    """
    if most < FEWEST:
        raise ConfigError(f"--max-classes {most}: must be at least {FEWEST}")
    distinct = len(np.unique(points[weights > 0], axis=0))
    if distinct < 2 * FEWEST:
        raise DataError(f"--classes auto needs at least {2 * FEWEST} different superpixels or pixels; say --classes N")
    numbers = range(FEWEST, min(most, distinct // 2) + 1)
    totals = np.zeros(len(numbers))
    for draw in range(DRAWS):
        halves = _halves(points, weights, np.random.default_rng((seed, draw)))
        totals += [_agreement(*halves, number, seed=seed + draw) for number in numbers]
    scores = totals / DRAWS
    return curve_of(tuple(numbers), tuple(scores.tolist()))


def curve_of(numbers: tuple[int, ...], scores: tuple[float, ...]) -> Curve:
    """Choose: of the numbers that stand out and repeat themselves well the best one; else the best of all.

    `Deviation:` not simply the best one. In photographs two clusters, light and dark, nearly always repeat themselves
    best, whatever is shown; so 2 stands out only if it repeats itself all but perfectly.
    """
    among = _peaks(numbers, scores) or numbers
    chosen = max(among, key=lambda number: round(scores[numbers.index(number)], 2))  # the lowest of about equal ones
    return Curve(numbers, scores, chosen)


def _peaks(numbers: tuple[int, ...], scores: tuple[float, ...]) -> tuple[int, ...]:
    """Numbers that repeat themselves well, and better than the numbers before and after."""
    first = (numbers[0],) if scores[0] >= SURE else ()
    return first + tuple(
        numbers[at]
        for at in range(1, len(numbers) - 1)
        if scores[at] >= STRONG and scores[at - 1] < scores[at] > scores[at + 1]
    )


def _halves(points: NDArray[Any], weights: NDArray[Any], random: np.random.Generator) -> tuple[Floats, Floats]:
    """Two samples of points, drawn by weight, that have no point in common."""
    size = min(LARGEST_HALF, int(np.count_nonzero(weights)) // 2)
    share = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    taken = np.asarray(points, np.float64)[random.choice(len(points), 2 * size, replace=False, p=share)]
    return taken[:size], taken[size:]


def _agreement(one: Floats, other: Floats, number: int, *, seed: int) -> float:
    """Adjusted Rand index of the partings by the centres of both halves: the mean over the two halves."""
    centres = [kmeans(half, number, seed=seed, starts=STARTS, iterations=ITERATIONS).centres for half in (one, other)]
    found = []
    for half in (one, other):
        first, second = (assign(half, found_by)[None] for found_by in centres)
        found.append(adjusted_rand_index(confusion(first, second, number, number)[:-1]))
    return sum(found) / 2
