"""Choose the number of clusters by the stability of k-means on random halves of the points.

Independent of labels and images.
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

FEWEST = 2  # clusters: a single one is always stable
LARGEST_HALF = 1500  # points in each half; more make the curve smoother, but take longer
DRAWS = 10  # number of random splits
STARTS, ITERATIONS = 2, 50  # of each k-means
SURE = 0.98  # threshold for two clusters: light and dark reach 0.96 in photographs
STRONG = 0.8  # threshold of a stable clustering, as in Tibshirani and Walther (2005)


@dataclass(frozen=True)
class Curve:
    """The stability of each number of clusters."""

    numbers: tuple[int, ...]  # increasing
    scores: tuple[float, ...]  # of each: 1 = both clusterings are equal, 0 = chance level
    chosen: int

    @property
    def is_clear(self) -> bool:
        """Whether the chosen number is a stable local maximum."""
        return self.chosen in _peaks(self.numbers, self.scores)


def stability_curve(
    points: NDArray[Any], weights: NDArray[Any], most: int, *, seed: int, spherical: bool = False
) -> Curve:
    """Split the points at random into two halves, cluster both, and compare the assignments of one half by both.

    Halves are drawn by weight, so that large regions count more. Agreement is the adjusted Rand index, averaged over
    draws and both halves. This is the prediction strength of Tibshirani and Walther (2005); `Deviation:` they use the
    share of pairs that stay together in the worst cluster, which is not corrected for chance.

    Args:
        points: (points, dimensions), as scaled for k-means.
        weights: (points,), not negative.
        most: largest number of clusters to try.
        seed: seed of the halves and of k-means.
        spherical: whether directions are compared.
    """
    if most < FEWEST:
        raise ConfigError(f"--max-classes {most}: must be at least {FEWEST}")
    distinct = len(np.unique(points[weights > 0], axis=0))
    if distinct < 2 * FEWEST:
        raise DataError(f"--classes auto needs at least {2 * FEWEST} different superpixels or pixels; give --classes N")
    numbers = range(FEWEST, min(most, distinct // 2) + 1)
    totals = np.zeros(len(numbers))
    for draw in range(DRAWS):
        halves = _halves(points, weights, np.random.default_rng((seed, draw)))
        totals += [_agreement(*halves, number, seed=seed + draw, spherical=spherical) for number in numbers]
    scores = totals / DRAWS
    return curve_of(tuple(numbers), tuple(scores.tolist()))


def curve_of(numbers: tuple[int, ...], scores: tuple[float, ...]) -> Curve:
    """Choose the most stable number among stable local maxima; if there are none, the most stable of all.

    `Deviation:` not simply the most stable one. In photographs two clusters, light and dark, are nearly always most
    stable, whatever is shown; so 2 counts as a maximum only if it is almost perfectly stable.
    """
    among = _peaks(numbers, scores) or numbers
    chosen = max(among, key=lambda number: round(scores[numbers.index(number)], 2))  # the lowest in a tie
    return Curve(numbers, scores, chosen)


def _peaks(numbers: tuple[int, ...], scores: tuple[float, ...]) -> tuple[int, ...]:
    """Return the stable local maxima: numbers above the threshold that are more stable than both neighbours."""
    first = (numbers[0],) if scores[0] >= SURE else ()
    return first + tuple(
        numbers[at]
        for at in range(1, len(numbers) - 1)
        if scores[at] >= STRONG and scores[at - 1] < scores[at] > scores[at + 1]
    )


def _halves(points: NDArray[Any], weights: NDArray[Any], random: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw two disjoint samples of points by weight."""
    size = min(LARGEST_HALF, int(np.count_nonzero(weights)) // 2)
    share = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    taken = np.asarray(points, np.float64)[random.choice(len(points), 2 * size, replace=False, p=share)]
    return taken[:size], taken[size:]


def _agreement(one: Floats, other: Floats, number: int, *, seed: int, spherical: bool) -> float:
    """Compute the adjusted Rand index of the assignments by both sets of centres, averaged over both halves."""
    how: dict[str, Any] = {"seed": seed, "starts": STARTS, "iterations": ITERATIONS, "spherical": spherical}
    centres = [kmeans(half, number, **how).centres for half in (one, other)]
    found = []
    for half in (one, other):
        first, second = (assign(half, found_by)[None] for found_by in centres)
        found.append(adjusted_rand_index(confusion(first, second, number, number)[:-1]))
    return sum(found) / 2
