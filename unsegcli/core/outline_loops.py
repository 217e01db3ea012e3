"""The loops of outlines, compiled; loaded only then, since loading numba takes half a second."""

from __future__ import annotations

import numpy as np

from unsegcli.core.compiling import compiled

EAST = 0
PASSED = 16  # bit of a corner; the lower four are the directions that were followed


@compiled
def follow(corner, leaves, borders, tables, seen, corners, filled):  # type: ignore[no-untyped-def]
    """Follow a border to the next end; append the corners where it begins, turns and ends.

    Args:
        corner: where it begins.
        leaves: direction.
        borders: directions in which borders leave each corner, a bit each; and which corners are ends.
        tables: step to the next corner by direction, and direction onward by directions and direction.
        seen: of each corner, what was passed and followed; is changed.
        corners: is filled.
        filled: how much of it is filled already.
    """
    ways, ends = borders
    steps, onward = tables
    seen[corner] |= PASSED | 1 << leaves
    corners[filled] = corner
    filled += 1
    direction = leaves
    while True:
        corner += steps[direction]
        seen[corner] |= PASSED
        if ends[corner]:
            break
        turned = onward[ways[corner], direction]
        if turned != direction:
            corners[filled] = corner
            filled += 1
            direction = turned
    corners[filled] = corner
    seen[corner] |= 1 << (direction + 2) % 4
    return filled + 1, direction


@compiled
def follow_all(borders, tables, seen, corners, arcs):  # type: ignore[no-untyped-def]
    """Follow all borders, and those without an end once around; fill `arcs` with begin in `corners`, and directions.

    Returns:
        Number of arcs, and how much of `corners` is filled.
    """
    ways, ends = borders
    count, filled = 0, 0
    for loops in range(2):
        for corner in range(len(ways)):
            if loops and ways[corner] and not seen[corner]:  # the top left of a loop, which goes on to the east
                ends[corner] = 1
            elif loops or not ends[corner]:
                continue
            for leaves in range(4):
                if ways[corner] >> leaves & 1 and not seen[corner] >> leaves & 1:
                    arcs[count, 0], arcs[count, 1] = filled, leaves
                    filled, arrives = follow(corner, leaves, borders, tables, seen, corners, filled)
                    arcs[count, 2] = arrives
                    count += 1
    return count, filled


@compiled
def simple_rings(onward, starts, at, taken, passed, rings, lengths):  # type: ignore[no-untyped-def]
    """Follow ways around regions; divide a ring that touches itself at nodes into simple ones.

    Args:
        onward: the way after each way.
        starts: number of the node where each way starts.
        at: of each node, -1; is changed.
        taken: of each way, False; is changed.
        passed: room for a number of each way.
        rings: is filled with the ways of all rings.
        lengths: is filled with the number of ways of each ring.

    Returns:
        Number of rings.
    """
    count, filled = 0, 0
    for first in range(len(onward)):
        way, depth = first, 0
        while not taken[way]:
            taken[way] = True
            at[starts[way]] = depth
            passed[depth] = way
            depth += 1
            way = onward[way]
            begin = at[starts[way]]
            if begin >= 0:
                for place in range(begin, depth):
                    rings[filled] = passed[place]
                    filled += 1
                    if place > begin:
                        at[starts[passed[place]]] = -1
                lengths[count] = depth - begin
                count += 1
                depth = begin
        at[starts[first]] = -1
    return count


@compiled
def join_ways(points, begins, sizes, ways, joined):  # type: ignore[no-untyped-def]
    """Fill `joined` with the points of arcs as ways pass them, each without its last one.

    Args:
        points: of all arcs.
        begins: where the points of each arc begin.
        sizes: how many each has.
        ways: numbers of arcs times two, plus one for backwards.
        joined: is filled.
    """
    filled = 0
    for way in ways:
        arc = way // 2
        last = sizes[arc] - 1
        for step in range(last):
            at = begins[arc] + (last - step if way % 2 else step)
            joined[filled, 0], joined[filled, 1] = points[at, 0], points[at, 1]
            filled += 1


@compiled
def fill_areas(points, ends, areas):  # type: ignore[no-untyped-def]
    """Fill `areas` with twice the area inside each of several rings, whose points follow each other."""
    begin = 0
    for ring in range(len(ends)):
        total = 0
        for at in range(begin, ends[ring]):
            after = at + 1 if at + 1 < ends[ring] else begin
            total += np.int64(points[at, 0]) * points[after, 1] - np.int64(points[after, 0]) * points[at, 1]
        areas[ring] = total
        begin = ends[ring]


@compiled
def turn(a, b, c):  # type: ignore[no-untyped-def]
    """Return twice the signed area of triangle abc."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@compiled
def overlap(p, q, r, s):  # type: ignore[no-untyped-def]
    """Return whether the boxes around segments pq and rs have a point in common."""
    across = min(p[0], q[0]) <= max(r[0], s[0]) and min(r[0], s[0]) <= max(p[0], q[0])
    return across and min(p[1], q[1]) <= max(r[1], s[1]) and min(r[1], s[1]) <= max(p[1], q[1])


@compiled
def same_way(a, b, c, d):  # type: ignore[no-untyped-def]
    """Return whether segments ab and cd, which start at one point, go on in one direction."""
    return turn(a, b, d) == 0 and (b[0] - a[0]) * (d[0] - c[0]) + (b[1] - a[1]) * (d[1] - c[1]) > 0


@compiled
def on_one_side(p, q, r, s):  # type: ignore[no-untyped-def]
    """Return whether r and s lie on the same side of the line through p and q, and not on it."""
    one, other = turn(p, q, r), turn(p, q, s)
    return min(one, other) > 0 or max(one, other) < 0


@compiled
def touching(p, q, r, s):  # type: ignore[no-untyped-def]
    """Return whether segments pq and rs, whose boxes overlap, have a point in common that is not an end of both."""
    pr, ps = p[0] == r[0] and p[1] == r[1], p[0] == s[0] and p[1] == s[1]
    qr, qs = q[0] == r[0] and q[1] == r[1], q[0] == s[0] and q[1] == s[1]
    if qs:
        return same_way(q, p, s, r)
    if qr:
        return same_way(q, p, r, s)
    if ps:
        return same_way(p, q, s, r)
    if pr:
        return same_way(p, q, r, s)
    return not (on_one_side(p, q, r, s) or on_one_side(r, s, p, q))


@compiled
def mark_touching(cells, segments, starts, ends, line_of, wrong):  # type: ignore[no-untyped-def]
    """Mark lines of which a segment touches another one; segments in one cell lie together, cells in order."""
    for one in range(len(cells)):
        first = segments[one]
        p, q = starts[first], ends[first]
        other = one + 1
        while other < len(cells) and cells[other] == cells[one]:
            second = segments[other]
            r, s = starts[second], ends[second]
            if overlap(p, q, r, s) and touching(p, q, r, s):
                wrong[line_of[first]] = wrong[line_of[second]] = True
            other += 1
