"""K-means, bit-for-bit reproducible for the same data and seed, whatever the threads, block sizes or BLAS.

Distances are summed dimension by dimension, elementwise, in float64. Independent of labels and images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError

Floats = NDArray[np.float64]

BLOCK = 8192  # points per block: their distances fit into the cache of one core
PATIENCE = 10  # mini-batches in a row without a lower smoothed inertia, after which a run ends


@dataclass(frozen=True)
class KMeans:
    """The best of several runs; clusters are numbered by decreasing weight."""

    centres: Floats  # (clusters, dimensions)
    weights: Floats  # (clusters,) total weight of the points of each cluster; 0 = empty
    inertia: float  # weighted sum of squared distances to the nearest centre
    iterations: int  # of the best run
    inertias: tuple[float, ...]  # of all runs


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
) -> KMeans:
    """Find centres that minimise the weighted sum of squared distances.

    If there are fewer distinct points than clusters, the remaining centres are duplicates of weight 0.

    Args:
        points: (points, dimensions), finite.
        clusters: number of centres.
        seed: run i draws from the generator of (seed, i).
        starts: number of runs (k-means++, then Lloyd); the run of lowest inertia is returned.
        iterations: maximum of Lloyd iterations per run, which ends when no point changes its cluster.
        weights: (points,), not negative; None = 1 each.
    """
    if min(clusters, starts, iterations) < 1:
        raise ConfigError(
            f"k-means needs at least one cluster, start and iteration: {clusters} clusters, {starts} starts, "
            f"{iterations} iterations were asked for"
        )
    columns, mass = _prepare(points, weights)
    runs = [_run(columns, mass, clusters, np.random.default_rng((seed, start)), iterations) for start in range(starts)]
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
    columns, mass = _prepare(points, None)
    firsts = [_spread(columns, mass, clusters, np.random.default_rng((seed, start))) for start in range(starts)]
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
    columns_of_centres = np.asarray(centres, np.float64)
    nearest = np.empty(len(points), np.int32)
    for start in range(0, len(points), block):
        columns = np.ascontiguousarray(points[start : start + block].T, np.float64)
        _check_finite(columns)
        nearest[start : start + block], _ = _nearest(columns, columns_of_centres)
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
        nearest[part], least = _nearest(columns, positions, second)
        np.sqrt(least, out=distances[part, 0], casting="same_kind")
        np.sqrt(second, out=distances[part, 1], casting="same_kind")
    return nearest, distances


def _check_same_dimensions(points: NDArray[Any], centres: NDArray[Any]) -> None:
    if points.ndim != 2 or centres.ndim != 2 or points.shape[1] != centres.shape[1]:
        raise DataError(
            f"points {points.shape} and centres {centres.shape} differ in dimensions: "
            "the centres were fitted on other features"
        )


def _prepare(points: NDArray[Any], weights: NDArray[Any] | None) -> tuple[Floats, Floats]:
    """Return points as (dimensions, points), and their weights, without points of weight 0."""
    if points.ndim != 2 or points.shape[1] == 0:
        raise DataError(f"k-means takes points (points, dimensions), not an array {points.shape}")
    columns = np.ascontiguousarray(points.T, np.float64)
    _check_finite(columns)
    if weights is None:
        mass = np.ones(columns.shape[1])
    else:
        mass = np.asarray(weights, np.float64)
        if mass.shape != columns.shape[1:] or not np.isfinite(mass).all() or bool((mass < 0).any()):
            raise DataError("k-means needs one finite, nonnegative weight per point")
        columns, mass = np.ascontiguousarray(columns[:, mass > 0]), mass[mass > 0]
    if mass.size == 0:
        raise DataError("k-means has no points to cluster: no image has a valid pixel")
    return columns, mass


def _check_finite(columns: Floats) -> None:
    if not np.isfinite(columns).all():
        raise DataError("k-means has a point that is not finite: features must not hold NaN or infinity")


def _run(columns: Floats, mass: Floats, clusters: int, generator: np.random.Generator, iterations: int) -> _Run:
    """Run k-means++ and Lloyd once."""
    centres = _spread(columns, mass, clusters, generator)
    nearest, squared = _nearest_of_all(columns, centres)
    done = 0
    while done < iterations:
        done += 1
        centres = _means(columns, mass, nearest, squared, centres)
        before = nearest
        nearest, squared = _nearest_of_all(columns, centres)
        if np.array_equal(nearest, before):
            break
    return _Run(centres, _sums(nearest, mass, clusters), _total(mass * squared), done)


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


def _spread(columns: Floats, mass: Floats, clusters: int, generator: np.random.Generator) -> Floats:
    """Choose centres by greedy k-means++: of a few drawn points, the one that lowers the inertia most."""
    trials = 2 + int(math.log(clusters))
    first = _draw(mass, generator.random(1))[0]
    chosen = [columns[:, first]]
    squared = _squared(columns, chosen[0])
    while len(chosen) < clusters:
        potential = mass * squared
        if not potential.any():  # every distinct point is already a centre
            chosen.append(chosen[0])
            continue
        candidates = _draw(potential, generator.random(trials))
        lowered = [np.minimum(squared, _squared(columns, columns[:, at])) for at in candidates]
        best = min(range(trials), key=lambda trial: _total(mass * lowered[trial]))
        chosen.append(columns[:, candidates[best]])
        squared = lowered[best]
    return np.stack(chosen)


def _draw(shares: Floats, uniform: Floats) -> NDArray[np.int64]:
    """Draw indices in proportion to `shares`, one for each number in [0, 1)."""
    heights = np.cumsum(shares)
    drawn = np.searchsorted(heights, uniform * heights[-1], side="right")
    last = np.flatnonzero(shares)[-1]  # rounding may exceed it
    inside: NDArray[np.int64] = np.minimum(drawn, last)
    return inside


def _means(columns: Floats, mass: Floats, nearest: NDArray[np.int32], squared: Floats, centres: Floats) -> Floats:
    """Compute the mean of each cluster; an empty cluster is moved to the farthest point not yet used."""
    clusters = len(centres)
    gathered = _sums(nearest, mass, clusters)
    full = gathered > 0
    moved = centres.copy()
    for dimension, values in enumerate(columns):
        sums = _sums(nearest, mass * values, clusters)
        moved[full, dimension] = sums[full] / gathered[full]
    empty = np.flatnonzero(~full)
    if empty.size:
        farthest = np.argsort(-squared, kind="stable")[: empty.size]
        farthest = farthest[squared[farthest] > 0]
        moved[empty[: farthest.size]] = columns[:, farthest].T
    return moved


def _nearest_of_all(columns: Floats, centres: Floats) -> tuple[NDArray[np.int32], Floats]:
    count = columns.shape[1]
    nearest, squared = np.empty(count, np.int32), np.empty(count)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK)
        nearest[part], squared[part] = _nearest(columns[:, part], centres)
    return nearest, squared


def _nearest(columns: Floats, centres: Floats, second: Floats | None = None) -> tuple[NDArray[np.int32], Floats]:
    """Find the nearest centre and squared distance for each point of a block (dimensions, points).

    If `second` is given, filled with infinity, it becomes the squared distance to the second nearest centre.
    """
    least = _squared(columns, centres[0])
    nearest = np.zeros(columns.shape[1], np.int32)
    distance, term = np.empty_like(least), np.empty_like(least)
    for number in range(1, len(centres)):
        _squared(columns, centres[number], distance, term)
        np.copyto(nearest, np.int32(number), where=distance < least)
        if second is not None:
            np.maximum(least, distance, out=term)
            np.minimum(second, term, out=second)
        np.minimum(least, distance, out=least)
    return nearest, least


def _squared(columns: Floats, centre: Floats, distance: Floats | None = None, term: Floats | None = None) -> Floats:
    """Compute squared distances to one centre, always summed in the same order, for identical bits."""
    distance = np.empty(columns.shape[1]) if distance is None else distance
    term = np.empty(columns.shape[1]) if term is None else term
    np.subtract(columns[0], centre[0], out=distance)
    np.multiply(distance, distance, out=distance)
    for values, position in zip(columns[1:], centre[1:], strict=True):
        np.subtract(values, position, out=term)
        np.multiply(term, term, out=term)
        np.add(distance, term, out=distance)
    return distance


def _sums(nearest: NDArray[np.int32], values: Floats, clusters: int) -> Floats:
    """Sum the values in each cluster, point by point."""
    return np.bincount(nearest, values, minlength=clusters).astype(np.float64, copy=False)


def _total(values: Floats) -> float:
    return float(np.sum(values))
