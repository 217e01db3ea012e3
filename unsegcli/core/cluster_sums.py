"""The loops of k-means over many points, compiled; loaded only then, since loading numba takes half a second."""

from __future__ import annotations

import numpy as np

from unsegcli.core.compiling import compiled, compiled_loosely

MORE = np.float32(1 + 2.0**-22)  # rounds up a number of float32
LESS = np.float32(2.0**-21)  # share of a bound that its roundings take, at most
FAR = np.float32(1e30)  # larger than any distance in the frame
TINY = 2.0**-100  # more than what underflow can lose, where the largest coordinate is about 1


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
def lowest(bounds, drifts):  # type: ignore[no-untyped-def]
    """Return the lowest bound, of distances to all centres from below."""
    least = FAR
    for cluster in range(len(bounds)):
        bound = bounds[cluster] - drifts[cluster]
        if bound < least:
            least = bound
    return least - abs(least) * LESS


@compiled
def kept(distance, drift):  # type: ignore[no-untyped-def]
    """Return a bound as it is stored: with the drift so far, which is taken off again when it is read."""
    return distance + drift - (abs(distance) + drift) * LESS


@compiled
def refresh_nearest(exact, narrow, drifts, nearest, bounds, errors):  # type: ignore[no-untyped-def]
    """Update nearest centres and bounds of distances after the centres have moved.

    Args:
        exact: rows (points, dimensions) and centres (clusters, dimensions), whose distances decide.
        narrow: the same in the frame, as float32; and the length of each row.
        drifts: how far each centre has moved now; and in all (rounded up).
        nearest: (points,) nearest centre before.
        bounds: of the distance to it from above (points,); and to each other centre from below (points, clusters), with
            the drift added.
        errors: length of the longest centre; and, as shares of the lengths of both, the error of a distance in float32,
            and by how much distances must differ to be proved.
    """
    rows, centres = exact
    narrow_rows, narrow_centres, lengths = narrow
    moved, drift = drifts
    upper, lower = bounds
    longest, share_of_error, share_of_slack = errors
    for point in range(len(rows)):
        own = nearest[point]
        upper[point] += moved[own]
        slack = share_of_slack * (lengths[point] + longest) + TINY
        limit = np.float32(upper[point] + slack) * MORE
        least = lowest(lower[point], drift)
        if least > limit:
            continue
        error = share_of_error * (lengths[point] + longest) + TINY
        distance = approximate_distance(narrow_rows[point], narrow_centres[own])
        upper[point] = distance + error
        limit = np.float32(upper[point] + slack) * MORE
        if least > limit:
            continue
        for cluster in range(len(centres)):
            bound = lower[point, cluster] - drift[cluster]
            if cluster == own or bound - abs(bound) * LESS > limit:
                continue
            other = approximate_distance(narrow_rows[point], narrow_centres[cluster])
            lower[point, cluster] = kept(np.float32(other - error), drift[cluster])
            apart = other - distance
            nearer = apart < 0
            if abs(apart) <= 2 * error + slack:
                here = squared_distance(rows[point], centres[own])
                there = squared_distance(rows[point], centres[cluster])
                nearer = there < here or (there == here and cluster < own)
            if nearer:
                lower[point, own] = kept(np.float32(distance - error), drift[own])
                own, distance = cluster, other
                limit = np.float32(distance + error + slack) * MORE
        lower[point, own] = FAR
        upper[point] = distance + error
        nearest[point] = own


@compiled
def sum_lowered(products, lengths, chosen, squared, mass, errors, sums):  # type: ignore[no-untyped-def]
    """Bound the sum of squared distances if a candidate were a centre, too.

    Args:
        products: (points, candidates) of the points and candidates in the frame.
        lengths: of the points.
        chosen: lengths of the candidates.
        squared: (points,) squared distances to the centres that there are, in the frame.
        mass: (points,) weights.
        errors: shares of the products and of the squares of lengths that roundings take, at most.
        sums: (2, candidates) where to put the bounds from below and above.
    """
    sums[:] = 0.0
    for point in range(len(products)):
        for candidate in range(len(chosen)):
            both = lengths[point] + chosen[candidate]
            error = errors[0] * both * chosen[candidate] + errors[1] * both * both + TINY
            middle = lengths[point] ** 2 + chosen[candidate] ** 2 - 2 * np.float64(products[point, candidate])
            sums[0, candidate] += mass[point] * min(max(middle - error, 0.0), squared[point])
            sums[1, candidate] += mass[point] * min(middle + error, squared[point])


@compiled
def lower_squared(rows, at, products, lengths, scale, errors, squared):  # type: ignore[no-untyped-def]
    """Lower squared distances (points,) to those to the point `at`, where these are less.

    Args:
        rows: (points, dimensions).
        at: the number of a point.
        products: (points,) with that point, in the frame.
        lengths: of the points in the frame.
        scale: square of the scale of the frame.
        errors: as for `sum_lowered`.
        squared: the squared distances.
    """
    for point in range(len(rows)):
        both = lengths[point] + lengths[at]
        error = errors[0] * both * lengths[at] + errors[1] * both * both + TINY
        middle = lengths[point] ** 2 + lengths[at] ** 2 - 2 * np.float64(products[point])
        if middle - error <= squared[point] * scale:
            squared[point] = min(squared[point], squared_distance(rows[point], rows[at]))
