"""K-means, bit-for-bit reproducible for the same data and seed, whatever the threads, block sizes or BLAS.

Distances are those of `exact_nearest`, and means are summed point by point in float64. Labels and images are not known
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.nearest import (
    BLOCK,
    UNIT_64,
    BoundedSearch,
    Screen,
    Search,
    by_products,
    distances_to_own,
    exact_nearest,
    frame_of,
    rounded,
    score_error,
    screen_of,
    shares_of_error,
    squared_distances,
)
from unsegcli.errors import ConfigError, DataError

Floats = NDArray[np.float64]

COMPILED_FROM = 1 << 20  # values of points from which loops are compiled, to the same bits: loading them takes time
MOST_BOUNDS = 1 << 25  # points x clusters for which bounds are kept
PATIENCE = 10  # mini-batches in a row without a lower smoothed inertia, after which a run ends


@dataclass(frozen=True)
class KMeans:
    """The best of several runs; clusters are numbered by decreasing weight."""

    centres: Floats  # (clusters, dimensions)
    weights: Floats  # (clusters,) total weight of the points of each cluster; 0 = empty
    inertia: float  # weighted sum of squared distances to the nearest centre
    iterations: int  # of the best run
    inertias: tuple[float, ...]  # of all runs


class _Points(NamedTuple):
    """Points in two layouts, and their weights."""

    columns: Floats  # (dimensions, points)
    rows: NDArray[Any]  # (points, dimensions), float32 or float64
    mass: Floats  # (points,)


@dataclass(frozen=True)
class _Run:
    centres: Floats
    weights: Floats
    inertia: float
    iterations: int


def kmeans(
    points: NDArray[Any],
    clusters: int,
    *,
    seed: int,
    starts: int,
    iterations: int,
    weights: NDArray[Any] | None = None,
    spherical: bool = False,
) -> KMeans:
    """Find centres that minimise the weighted sum of squared distances.

    Spherical k-means compares directions: points are scaled to length one, and so are centres after each step. Half a
    squared distance is then one minus the cosine. A point of zeros has no direction, and stays as it is.

    If there are fewer distinct points than clusters, the remaining centres are duplicates of weight 0.

    Args:
        points: (points, dimensions), finite.
        clusters: number of centres.
        seed: run i draws from the generator of (seed, i).
        starts: number of runs (k-means++, then Lloyd); the run of lowest inertia is returned.
        iterations: maximum of Lloyd iterations per run, which ends when no point changes its cluster.
        weights: (points,), not negative; None = 1 each.
        spherical: whether directions are compared.
    """
    if min(clusters, starts, iterations) < 1:
        raise ConfigError(
            f"k-means needs at least one cluster, start and iteration: {clusters} clusters, {starts} starts, "
            f"{iterations} iterations were asked for"
        )
    given = _prepare(unit_rows(points) if spherical else points, weights)
    screen = screen_of(given.columns)
    runs = []
    for start in range(starts):
        first = _spread(given, screen, clusters, np.random.default_rng((seed, start)))
        runs.append(_run(given, screen, first, iterations, spherical))
    best = min(runs, key=lambda run: run.inertia)
    return _numbered(best, tuple(run.inertia for run in runs))


def mini_batch_kmeans(
    points: NDArray[Any], clusters: int, *, seed: int, starts: int, iterations: int, batch: int
) -> KMeans:
    """Find centres step by step from small random samples (Sculley, Web-scale k-means clustering, 2010).

    Each step draws points with replacement, and moves each centre to the mean of all points drawn for it so far. A run
    ends when the smoothed inertia of the samples has not fallen for `PATIENCE` steps.

    Args:
        points: (points, dimensions), finite.
        clusters: number of centres.
        seed: of all draws.
        starts: number of first centres (k-means++); the run starts from those of lowest inertia.
        iterations: maximum number of passes; a pass draws as many points as there are.
        batch: points of a step.
    """
    if min(clusters, starts, iterations, batch) < 1:
        raise ConfigError("mini-batch k-means needs at least one cluster, start, iteration and point in a batch")
    given = _prepare(points, None)
    columns, _, mass = given
    screen = screen_of(columns)
    firsts = [_spread(given, screen, clusters, np.random.default_rng((seed, start))) for start in range(starts)]
    first = min(firsts, key=lambda centres: _total(_nearest_of_all(columns, centres)[1]))
    batch = min(batch, columns.shape[1])
    steps = iterations * math.ceil(columns.shape[1] / batch)
    centres, done = _by_batches(columns, first, np.random.default_rng((seed, starts)), batch, steps)
    nearest, squared = _nearest_of_all(columns, centres)
    run = _Run(centres, _sums(nearest, mass, clusters), _total(squared), done)
    return _numbered(run, (run.inertia,))


def assign(points: NDArray[Any], centres: NDArray[Any], block: int = BLOCK) -> NDArray[np.int32]:
    """Assign each point to its nearest centre: (points,); the lowest number wins a tie.

    Args:
        points: (points, dimensions), finite.
        centres: (clusters, dimensions).
        block: points per block; limits memory and does not change the result.
    """
    _check_same_dimensions(points, centres)
    exact = np.asarray(centres, np.float64)
    frame = frame_of(exact)
    nearest = np.empty(len(points), np.int32)
    for start in range(0, len(points), block):
        part = np.asarray(points[start : start + block], np.float64)
        _check_finite(part)
        found = by_products(*rounded(frame(part)), frame(exact))
        doubtful = np.flatnonzero(~found.proved)
        found.nearest[doubtful] = exact_nearest(np.ascontiguousarray(part[doubtful].T), exact)[0]
        nearest[start : start + block] = found.nearest
    return nearest


def two_nearest(points: NDArray[Any], centres: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Assign each point to its nearest centre, as `assign` does, and measure how far two centres are.

    Args:
        points: (points, dimensions), finite.
        centres: (clusters, dimensions).

    Returns:
        the nearest centre (points,); and the distances (points, 2) to it and to the second nearest, which is infinite
        if there is only one.
    """
    _check_same_dimensions(points, centres)
    positions = np.asarray(centres, np.float64)
    nearest, distances = np.empty(len(points), np.int32), np.empty((len(points), 2), np.float32)
    for start in range(0, len(points), BLOCK):
        part = slice(start, start + BLOCK)
        columns = np.ascontiguousarray(points[part].T, np.float64)
        _check_finite(columns)
        second = np.full(columns.shape[1], np.inf)
        nearest[part], least = exact_nearest(columns, positions, second)
        np.sqrt(least, out=distances[part, 0], casting="same_kind")
        np.sqrt(second, out=distances[part, 1], casting="same_kind")
    return nearest, distances


def _check_same_dimensions(points: NDArray[Any], centres: NDArray[Any]) -> None:
    if points.ndim != 2 or centres.ndim != 2 or points.shape[1] != centres.shape[1]:
        raise DataError(
            f"points {points.shape} and centres {centres.shape} differ in dimensions: "
            "the centres were fitted on other features"
        )


def unit_rows(points: NDArray[Any]) -> Floats:
    """Scale points (points, dimensions) to length one in float64; those of length zero stay as they are."""
    rows = np.asarray(points, np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(largest > 0, largest, 1)  # squares neither overflow nor vanish
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    unit: Floats = rows / np.where(lengths > 0, lengths, 1)
    return unit


def _prepare(points: NDArray[Any], weights: NDArray[Any] | None) -> _Points:
    """Check points and weights, and leave out points of weight 0."""
    if points.ndim != 2 or points.shape[1] == 0:
        raise DataError(f"k-means takes points (points, dimensions), not an array {points.shape}")
    rows = points if points.dtype == np.float32 else np.asarray(points, np.float64)
    _check_finite(rows)
    if weights is None:
        mass = np.ones(len(rows))
    else:
        mass = np.asarray(weights, np.float64)
        if mass.shape != rows.shape[:1] or not np.isfinite(mass).all() or bool((mass < 0).any()):
            raise DataError("k-means needs one finite, nonnegative weight per point")
        rows, mass = (rows, mass) if bool((mass > 0).all()) else (rows[mass > 0], mass[mass > 0])
    if mass.size == 0:
        raise DataError("k-means has no points to cluster: no image has a valid pixel")
    return _Points(np.ascontiguousarray(rows.T, np.float64), np.ascontiguousarray(rows), mass)


def _check_finite(points: NDArray[Any]) -> None:
    if not np.isfinite(points).all():
        raise DataError("k-means has a point that is not finite: features must not hold NaN or infinity")


def _run(given: _Points, screen: Screen, centres: Floats, iterations: int, spherical: bool) -> _Run:
    """Run Lloyd once from these centres."""
    clusters = len(centres)
    sums, compiled = _Sums(given, clusters), given.columns.size >= COMPILED_FROM
    bounded = compiled and screen.frame.usable and clusters * len(given.rows) <= MOST_BOUNDS
    search = BoundedSearch(screen, given.rows, centres) if bounded else Search(screen, centres)
    done = 0
    stale = np.ones(clusters, np.bool_)  # clusters whose points have changed since their sums were computed
    while done < iterations:
        done += 1
        sums.update(search.nearest, stale)
        centres = _means(given.columns, sums, search.nearest, centres)
        if spherical:
            centres = unit_rows(centres)
        before = search.nearest.copy()
        changed = search.move(centres)
        if not changed.any():
            break
        stale = np.zeros(clusters, np.bool_)
        stale[before[changed]] = stale[search.nearest[changed]] = True
    squared = distances_to_own(given.columns, centres, search.nearest)
    return _Run(centres, _sums(search.nearest, given.mass, clusters), _total(given.mass * squared), done)


class _Sums:
    """Sums of weights and weighted points of each cluster, point by point in float64."""

    def __init__(self, given: _Points, clusters: int) -> None:
        self.weights, self.points = np.zeros(clusters), np.zeros((clusters, len(given.columns)))
        self._given = given

    def update(self, nearest: NDArray[np.int32], stale: NDArray[np.bool_]) -> None:
        """Sum the points of the stale clusters anew."""
        given = self._given
        if given.columns.size >= COMPILED_FROM:
            from unsegcli.core.cluster_sums import sum_clusters

            self.weights[stale], self.points[stale] = 0.0, 0.0
            sum_clusters(given.rows, given.mass, nearest, stale, self.weights, self.points)
            return
        clusters = len(stale)
        self.weights[:] = _sums(nearest, given.mass, clusters)
        for dimension, values in enumerate(given.columns):
            self.points[:, dimension] = _sums(nearest, given.mass * values, clusters)


def _by_batches(
    columns: Floats, centres: Floats, generator: np.random.Generator, batch: int, steps: int
) -> tuple[Floats, int]:
    """Move the centres by mini-batches; return them and the number of steps."""
    centres, drawn = centres.copy(), np.zeros(len(centres))
    weight = min(1.0, 2 * batch / (columns.shape[1] + 1))  # of a new sample in the smoothed inertia
    smooth, lowest, waited = 0.0, math.inf, 0
    for step in range(steps):
        sample = columns[:, generator.integers(columns.shape[1], size=batch)]
        nearest, squared = _nearest_of_all(sample, centres)
        counts = _sums(nearest, np.ones(batch), len(centres))
        drawn += counts
        for dimension, values in enumerate(sample):
            apart = _sums(nearest, values, len(centres)) - counts * centres[:, dimension]
            centres[:, dimension] += apart / np.maximum(drawn, 1)
        inertia = _total(squared) / batch
        smooth = inertia if step == 0 else smooth + weight * (inertia - smooth)
        lowest, waited = (smooth, 0) if smooth < lowest else (lowest, waited + 1)
        if waited == PATIENCE:
            return centres, step + 1
    return centres, steps


def _numbered(run: _Run, inertias: tuple[float, ...]) -> KMeans:
    """Number the clusters of a run by decreasing weight, ties by the centres."""
    order = np.lexsort([*run.centres.T[::-1], -run.weights])
    return KMeans(run.centres[order], run.weights[order], run.inertia, run.iterations, inertias)


def _spread(given: _Points, screen: Screen, clusters: int, generator: np.random.Generator) -> Floats:
    """Choose centres by greedy k-means++: of a few drawn points, the one that lowers the inertia most."""
    mass, trials = given.mass, 2 + int(math.log(clusters))
    best_of = _best_of_many if screen.frame.usable and screen.columns.size >= COMPILED_FROM else _best_of
    first = _draw(mass, generator.random(1))[0]
    chosen = [screen.columns[:, first]]
    squared = squared_distances(screen.columns, chosen[0])
    while len(chosen) < clusters:
        potential = mass * squared
        if not potential.any():  # every distinct point is already a centre
            chosen.append(chosen[0])
            continue
        candidates = _draw(potential, generator.random(trials))
        at, squared = best_of(given, screen, squared, candidates)
        chosen.append(screen.columns[:, at])
    return np.stack(chosen)


def _best_of(given: _Points, screen: Screen, squared: Floats, candidates: NDArray[np.int64]) -> tuple[np.int64, Floats]:
    """Choose the candidate that lowers the inertia most, and compute the squared distances with it as a centre.

    Products of matrices decide unless two candidates are about equal, and show for which points a candidate cannot be
    the nearest centre.
    """
    near, far = _bounds(screen, candidates)
    reach = squared * screen.frame.scale**2
    with np.errstate(all="ignore"):
        low, high = (np.minimum(bound, reach) @ given.mass for bound in (near, far))
    best = _proved_best(low, high, candidates, len(squared))
    if best is None:
        return _best_exactly(given, squared, candidates)
    at = candidates[best]
    nearer = np.flatnonzero(~(near[best] > reach))
    found = squared.copy()
    own = squared_distances(screen.columns[:, nearer], screen.columns[:, at])
    found[nearer] = np.minimum(squared[nearer], own)
    return at, found


def _best_of_many(
    given: _Points, screen: Screen, squared: Floats, candidates: NDArray[np.int64]
) -> tuple[np.int64, Floats]:
    """As `_best_of`, compiled, and faster for many points."""
    from unsegcli.core.cluster_sums import lower_squared, sum_lowered

    lengths, scale, sums = screen.lengths, screen.frame.scale**2, np.empty((2, len(candidates)))
    products, errors = screen.rows @ screen.rows[candidates].T, shares_of_error(len(screen.columns))
    sum_lowered(products, lengths, lengths[candidates], squared * scale, given.mass, errors, sums)
    best = _proved_best(sums[0], sums[1], candidates, len(squared))
    if best is None:
        return _best_exactly(given, squared, candidates)
    found, at = squared.copy(), candidates[best]
    lower_squared(given.rows, at, products[:, best], lengths, scale, errors, found)
    return at, found


def _proved_best(low: Floats, high: Floats, candidates: NDArray[np.int64], points: int) -> int | None:
    """Return the candidate that lowers the inertia most, given bounds of it; None if another may be equally good."""
    with np.errstate(all="ignore"):
        best = int(np.argmin(high))
        slack = max(1e-9, 4 * points * UNIT_64) * high.max()  # more than the rounding of the sums
    different = candidates != candidates[best]
    return best if bool((low[different] > high[best] + slack).all()) else None


def _best_exactly(given: _Points, squared: Floats, candidates: NDArray[np.int64]) -> tuple[np.int64, Floats]:
    lowered = [np.minimum(squared, squared_distances(given.columns, given.columns[:, at])) for at in candidates]
    best = min(range(len(candidates)), key=lambda trial: _total(given.mass * lowered[trial]))
    return candidates[best], lowered[best]


def _bounds(screen: Screen, candidates: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Bound the squared distances of all points to some of them from below and above, in the frame."""
    chosen = screen.lengths[candidates]
    with np.errstate(all="ignore"):
        products = (screen.rows[candidates] @ screen.rows.T).astype(np.float64)
        middle = screen.lengths**2 + (chosen**2)[:, None] - 2 * products
        error = 2 * score_error(screen.lengths, float(chosen.max()), len(screen.columns))
        return np.maximum(middle - error, 0), middle + error


def _draw(shares: Floats, uniform: Floats) -> NDArray[np.int64]:
    """Draw indices in proportion to `shares`, one for each number in [0, 1)."""
    heights = np.cumsum(shares)
    drawn = np.searchsorted(heights, uniform * heights[-1], side="right")
    last = np.flatnonzero(shares)[-1]  # rounding may exceed it
    inside: NDArray[np.int64] = np.minimum(drawn, last)
    return inside


def _means(columns: Floats, sums: _Sums, nearest: NDArray[np.int32], centres: Floats) -> Floats:
    """Compute the mean of each cluster; an empty cluster is moved to the farthest point not yet used."""
    full = sums.weights > 0
    moved = centres.copy()
    moved[full] = sums.points[full] / sums.weights[full, None]
    empty = np.flatnonzero(~full)
    if empty.size:
        squared = distances_to_own(columns, centres, nearest)
        farthest = np.argsort(-squared, kind="stable")[: empty.size]
        farthest = farthest[squared[farthest] > 0]
        moved[empty[: farthest.size]] = columns[:, farthest].T
    return moved


def _nearest_of_all(columns: Floats, centres: Floats) -> tuple[NDArray[np.int32], Floats]:
    count = columns.shape[1]
    nearest, squared = np.empty(count, np.int32), np.empty(count)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK)
        nearest[part], squared[part] = exact_nearest(columns[:, part], centres)
    return nearest, squared


def _sums(nearest: NDArray[np.int32], values: Floats, clusters: int) -> Floats:
    """Sum the values in each cluster, point by point."""
    return np.bincount(nearest, values, minlength=clusters).astype(np.float64, copy=False)


def _total(values: Floats) -> float:
    return float(np.sum(values))
