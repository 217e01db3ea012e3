"""Make superpixels connected, and as many as requested: keep the largest pieces and merge the others.

Pieces are 4-connected components, found in one pass by union-find.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled
from unsegcli.core.superpixels.fixed_point import Planes
from unsegcli.core.superpixels.regions import RegionMap


def connected(labels: RegionMap, planes: Planes, count: int) -> RegionMap:
    """Keep the `count` largest connected pieces; merge each other piece into the adjacent one nearest in colour.

    Where the valid pixels are not connected, each part of them keeps its largest piece. The result is numbered in order
    of appearance, row by row.

    Args:
        labels: (height, width), -1 = no region.
        planes: colours.
        count: number of pieces to keep.
    """
    pieces, sizes = _components_of(labels)
    if len(sizes) <= count:
        return pieces
    colours = np.zeros((len(sizes), len(planes)), np.float64)
    _add_colours(pieces, planes, colours)
    colours /= sizes[:, None]
    owners = np.full(len(sizes), -1, np.int32)
    kept = _kept(pieces, sizes, count)
    owners[kept] = kept
    edges = np.empty((4 * int(sizes[owners < 0].sum()), 2), np.int32)  # as many as there can be
    _merge(edges[: _list_edges(pieces, owners, edges)], colours, owners)
    _relabel(pieces, owners, np.full(len(sizes), -1, np.int32))
    return pieces


def _components_of(labels: NDArray[np.int32]) -> tuple[RegionMap, NDArray[np.int64]]:
    """Return the 4-connected components (height, width), numbered in order of appearance, and their sizes."""
    pieces = np.empty(labels.shape, np.int32)
    numbers = np.empty(labels.size, np.int32)
    sizes = np.zeros(_components(labels, pieces, numbers), np.int64)
    _number(pieces, numbers, sizes)
    return pieces, sizes


def _kept(pieces: RegionMap, sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Choose the pieces to keep: the largest of each connected part of the valid pixels, then the largest ones."""
    by_size = np.argsort(-sizes, kind="stable")
    if pieces.min() >= 0:
        return by_size[:count]
    parts, _ = _components_of(np.where(pieces >= 0, np.int32(0), np.int32(-1)))
    part_of = np.zeros(len(sizes), np.int32)
    part_of[pieces[pieces >= 0]] = parts[pieces >= 0]
    _, largest = np.unique(part_of[by_size], return_index=True)
    others = np.delete(by_size, largest)
    return np.concatenate([by_size[largest], others[: max(0, count - len(largest))]])


@compiled
def _root(parents, piece):
    """Find the root of a piece, halving the path to it."""
    while parents[piece] != piece:
        parents[piece] = parents[parents[piece]]
        piece = parents[piece]
    return piece


@compiled
def _components(labels, pieces, parents):
    """Label the components by provisional numbers, joined in `parents`; return the number of components.

    The smaller number is the root, so that roots are in order of appearance. `parents` then holds final numbers.
    """
    height, width = labels.shape
    used = 0
    for row in range(height):
        for column in range(width):
            label = labels[row, column]
            if label < 0:
                pieces[row, column] = -1
                continue
            above = row > 0 and labels[row - 1, column] == label
            if column > 0 and labels[row, column - 1] == label:
                piece = pieces[row, column - 1]
                if above and pieces[row - 1, column] != piece:
                    one, other = _root(parents, piece), _root(parents, pieces[row - 1, column])
                    parents[max(one, other)] = min(one, other)
            elif above:
                piece = pieces[row - 1, column]
            else:
                piece = used
                parents[used] = used
                used += 1
            pieces[row, column] = piece
    found = 0
    for piece in range(used):  # a parent is smaller, so its final number is known already
        if parents[piece] == piece:
            parents[piece] = found
            found += 1
        else:
            parents[piece] = parents[parents[piece]]
    return found


@compiled
def _number(pieces, numbers, sizes):
    """Replace provisional numbers by final ones, and count the pixels of each piece."""
    height, width = pieces.shape
    for row in range(height):
        for column in range(width):
            if pieces[row, column] >= 0:
                piece = numbers[pieces[row, column]]
                pieces[row, column] = piece
                sizes[piece] += 1


@compiled
def _add_colours(pieces, planes, sums):
    """Sum the colours of each piece; sums of integers are exact in float64."""
    bands, height, width = planes.shape
    for band in range(bands):
        for row in range(height):
            for column in range(width):
                if pieces[row, column] >= 0:
                    sums[pieces[row, column], band] += planes[band, row, column]


@compiled
def _list_edges(pieces, owners, edges):
    """List the pieces on both sides of each pixel edge, if one of them has no owner; return how many there are."""
    height, width = pieces.shape
    found = 0
    for row in range(height):
        for column in range(width):
            here = pieces[row, column]
            if here < 0:
                continue
            for side in range(2):
                if (row if side else column) == 0:
                    continue
                other = pieces[row - 1, column] if side else pieces[row, column - 1]
                if other >= 0 and other != here and (owners[here] < 0 or owners[other] < 0):
                    edges[found, 0], edges[found, 1] = other, here
                    found += 1
    return found


@compiled
def _merge(edges, colours, owners):
    """Give each piece without owner that of the adjacent piece whose owner is nearest in colour, from near to far.

    In each round, the pieces adjacent to one with an owner get theirs. Used edges are removed from the list.
    """
    distances, chosen = np.empty(len(owners)), np.empty(len(owners), np.int32)
    left = len(edges)
    while left > 0:
        distances[:] = np.inf
        for edge in range(left):
            for side in range(2):
                piece, owner = edges[edge, side], owners[edges[edge, 1 - side]]
                if owners[piece] < 0 and owner >= 0:
                    distance = 0.0
                    for band in range(colours.shape[1]):
                        distance += (colours[piece, band] - colours[owner, band]) ** 2
                    if distance < distances[piece]:
                        distances[piece], chosen[piece] = distance, owner
        for piece in range(len(owners)):
            if distances[piece] < np.inf:
                owners[piece] = chosen[piece]
        kept = 0
        for edge in range(left):
            one, other = edges[edge, 0], edges[edge, 1]
            if owners[one] < 0 or owners[other] < 0:
                edges[kept, 0], edges[kept, 1] = one, other
                kept += 1
        left = kept


@compiled
def _relabel(pieces, owners, numbers):
    """Replace each piece by its owner, numbered in order of appearance."""
    height, width = pieces.shape
    used = 0
    for row in range(height):
        for column in range(width):
            if pieces[row, column] >= 0:
                owner = owners[pieces[row, column]]
                if numbers[owner] < 0:
                    numbers[owner] = used
                    used += 1
                pieces[row, column] = numbers[owner]
