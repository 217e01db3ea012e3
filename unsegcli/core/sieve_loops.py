"""The loops of the sieve, compiled; loaded only then, since loading numba takes half a second."""

from __future__ import annotations

import numpy as np

from unsegcli.core.compiling import compiled


@compiled
def merge_small(smallest, areas, values, graph, owners):  # type: ignore[no-untyped-def]
    """Merge parts of fewer than `smallest` pixels, the smallest first; fill `owners` with what each is merged into.

    Args:
        smallest: minimum number of pixels.
        areas: of each part; is changed.
        values: of each part.
        graph: for each part where its borders start, with the end; the part and the length of each border.
        owners: of each part itself; is changed.
    """
    count = len(areas)
    members, tails = np.full(count, -1), np.arange(count)  # small parts that were merged are lists
    heads, following = np.full(smallest, -1), np.full(count, -1)  # so are those of one area that wait
    common, found = np.zeros(count, np.int64), np.empty(4 * smallest + 8, np.int64)
    for part in range(count):
        wait(part, smallest, areas, heads, following)
    for area in range(1, smallest):
        for part in waiting(heads[area], following):
            if owners[part] != part:
                continue
            if areas[part] != area:
                wait(part, smallest, areas, heads, following)
                continue
            near = neighbours(part, graph, owners, members, common, found)
            if len(near):
                merge(part, near, common, areas, values, owners, members, tails)


@compiled
def wait(part, smallest, areas, heads, following):  # type: ignore[no-untyped-def]
    """Add a small part to the list of those of its area."""
    if areas[part] < smallest:
        following[part] = heads[areas[part]]
        heads[areas[part]] = part


@compiled
def waiting(head, following):  # type: ignore[no-untyped-def]
    """Return the parts of a list in order."""
    count, part = 0, head
    while part >= 0:
        count += 1
        part = following[part]
    found = np.empty(count, np.int64)
    part = head
    for place in range(count):
        found[place] = part
        part = following[part]
    return np.sort(found)


@compiled
def root(owners, part):  # type: ignore[no-untyped-def]
    """Return what a part belongs to now; paths are halved on the way."""
    while owners[part] != part:
        owners[part] = owners[owners[part]]
        part = owners[part]
    return part


@compiled
def neighbours(part, graph, owners, members, common, found):  # type: ignore[no-untyped-def]
    """Return the neighbours of a part, a piece of `found`; `common` has the length of the border with each."""
    starts, others, lengths = graph
    count, member = 0, part
    while member >= 0:
        for border in range(starts[member], starts[member + 1]):
            other = root(owners, others[border])
            if other != part:
                if common[other] == 0:
                    found[count] = other
                    count += 1
                common[other] += lengths[border]
        member = members[member]
    return found[:count]


@compiled
def merge(part, near, common, areas, values, owners, members, tails):  # type: ignore[no-untyped-def]
    """Merge a part into a neighbour, and that with others of its value that it now touches; clear `common`."""
    into = near[0]
    for other in near[1:]:
        longer = common[other] - common[into]
        larger = areas[other] - areas[into]
        if longer > 0 or (longer == 0 and (larger > 0 or (larger == 0 and other < into))):
            into = other
    join(part, into, areas, owners, members, tails)
    for other in near:
        common[other] = 0
        if other != into and values[other] == values[into]:
            join(other, into, areas, owners, members, tails)


@compiled
def join(part, into, areas, owners, members, tails):  # type: ignore[no-untyped-def]
    """Make a part belong to another one."""
    owners[part] = into
    areas[into] += areas[part]
    members[tails[into]] = part
    tails[into] = tails[part]
