"""The two loops of k-means over many points, compiled; loaded only then, since loading numba takes half a second."""

from __future__ import annotations

import numpy as np

from unsegcli.core.compiling import compiled, compiled_loosely

MORE = np.float32(1 + 2.0**-22)  # rounds up a number of float32
LESS = np.float32(2.0**-22)  # share of a bound that its roundings take, at most
FAR = np.float32(1e30)  # larger than any distance in the frame


@compiled
def sum_clusters(rows, mass, nearest, wanted, weights, sums):  # type: ignore[no-untyped-def]
    """Add the points of the wanted clusters to `weights` (clusters,) and `sums` (clusters, dimensions), in order."""
    for point in range(len(rows)):
        cluster = nearest[point]
        if wanted[cluster]:
            own = mass[point]
            weights[cluster] += own
            for dimension in range(rows.shape[1]):
                sums[cluster, dimension] += own * rows[point, dimension]


@compiled
def squared_distance(row, centre):  # type: ignore[no-untyped-def]
    """Compute a squared distance, summed in the order of `squared_distances`."""
    total = 0.0
    for dimension in range(len(row)):
        apart = row[dimension] - centre[dimension]
        total += apart * apart
    return total


@compiled_loosely
def approximate_distance(row, centre):  # type: ignore[no-untyped-def]
    """Compute a distance in float32, summed in any order."""
    total = np.float32(0)
    for dimension in range(len(row)):
        apart = row[dimension] - centre[dimension]
        total += apart * apart
    return np.sqrt(total)


@compiled_loosely
def lowered(bounds, moved):  # type: ignore[no-untyped-def]
    """Lower bounds of distances by how far the centres have moved, and return the lowest."""
    least = FAR
    for cluster in range(len(bounds)):
        bound = bounds[cluster] - moved[cluster]
        bound -= abs(bound) * LESS
        bounds[cluster] = bound
        least = min(least, bound)
    return least


@compiled
def refresh_nearest(exact, narrow, nearest, bounds, errors):  # type: ignore[no-untyped-def]
    """Update nearest centres and bounds of distances after the centres have moved.

    Args:
        exact: rows (points, dimensions) and centres (clusters, dimensions), whose distances decide.
        narrow: the same in the frame, as float32; and how far each centre has moved.
        nearest: (points,) nearest centre before.
        bounds: of the distance to it from above (points,); and to each other centre from below (points, clusters).
        errors: of a distance in float32 (points,); and by how much distances must differ to be proved (points,).
    """
    rows, centres = exact
    narrow_rows, narrow_centres, moved = narrow
    upper, lower = bounds
    error, slack = errors
    for point in range(len(rows)):
        own = nearest[point]
        upper[point] += moved[own]
        limit = np.float32(upper[point] + slack[point]) * MORE
        own_bounds = lower[point]
        if lowered(own_bounds, moved) > limit:
            continue
        row = narrow_rows[point]
        distance = approximate_distance(row, narrow_centres[own])
        for cluster in range(len(centres)):
            if cluster == own or own_bounds[cluster] > distance + error[point] + slack[point]:
                continue
            other = approximate_distance(row, narrow_centres[cluster])
            own_bounds[cluster] = other - error[point]
            apart = other - distance
            nearer = apart < 0
            if abs(apart) <= 2 * error[point] + slack[point]:
                here = squared_distance(rows[point], centres[own])
                there = squared_distance(rows[point], centres[cluster])
                nearer = there < here or (there == here and cluster < own)
            if nearer:
                own_bounds[own] = distance - error[point]
                own, distance = cluster, other
        own_bounds[own] = FAR
        upper[point] = distance + error[point]
        nearest[point] = own
