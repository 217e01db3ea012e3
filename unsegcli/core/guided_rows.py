"""The loops of the guided filter, compiled; loaded only then, since loading numba takes half a second.

Box sums are running sums, down the rows and then along each row. Of the linear functions, only the rows that later
boxes need are in memory. Maps are filtered `LANES` at a time, side by side, which the processor computes at once.
"""

from __future__ import annotations

import numpy as np

from unsegcli.core.compiling import compiled

LANES = 8


@compiled
def invert_systems(systems):  # type: ignore[no-untyped-def]
    """Invert symmetric positive definite matrices (pixels, bands, bands) in place, by Gauss-Jordan elimination."""
    count = systems.shape[1]
    for matrix in systems:
        for pivot in range(count):
            factor = 1 / matrix[pivot, pivot]
            matrix[pivot, pivot] = 1.0
            for column in range(count):
                matrix[pivot, column] *= factor
            for row in range(count):
                if row != pivot:
                    share = matrix[row, pivot]
                    matrix[row, pivot] = 0.0
                    for column in range(count):
                        matrix[row, column] -= share * matrix[pivot, column]


@compiled
def follow_maps(maps, weighted, box, radius, result):  # type: ignore[no-untyped-def]
    """Filter maps (height, width, LANES).

    Args:
        maps: the maps.
        weighted: (1 + bands, height, width) ones, and the guide; 0 where a pixel is not valid.
        box: of the box around each pixel, the number of valid pixels (height, width), the means of the bands
            (height, width, bands) and the inverse of their covariances (height, width, bands, bands).
        radius: of the box.
        result: where to put the result, which is 0 where a pixel is not valid.
    """
    counted, means, inverses = box
    height, width = counted.shape
    terms = len(weighted)
    ring = np.zeros((2 * radius + 2, terms, width, LANES))
    sums_of_maps, sums_of_lines = np.zeros((terms, width, LANES)), np.zeros((terms, width, LANES))
    boxes = np.zeros((terms, width, LANES))
    for row in range(min(radius, height)):
        add_products(sums_of_maps, maps[row], weighted[:, row], 1.0)
    for row in range(height + radius):
        if row + radius < height:
            add_products(sums_of_maps, maps[row + radius], weighted[:, row + radius], 1.0)
        if 0 < row - radius <= height:
            add_products(sums_of_maps, maps[row - radius - 1], weighted[:, row - radius - 1], -1.0)
        lines = ring[row % len(ring)]
        if row < height:
            sum_along(sums_of_maps, radius, boxes)
            fit_lines(boxes, counted[row], means[row], inverses[row], weighted[0, row], lines)
            add_lines(sums_of_lines, lines, 1.0)
        if row < radius:
            continue
        if row > 2 * radius:
            add_lines(sums_of_lines, ring[(row - 2 * radius - 1) % len(ring)], -1.0)
        sum_along(sums_of_lines, radius, boxes)
        apply_lines(boxes, counted[row - radius], weighted[:, row - radius], result[row - radius])


@compiled
def add_products(sums, values, weights, sign):  # type: ignore[no-untyped-def]
    """Add the values of a row (width, LANES), times weights (terms, width), to sums (terms, width, LANES)."""
    for term in range(len(sums)):
        for column in range(sums.shape[1]):
            weight = sign * weights[term, column]
            for lane in range(LANES):
                sums[term, column, lane] += weight * values[column, lane]


@compiled
def add_lines(sums, lines, sign):  # type: ignore[no-untyped-def]
    """Add or subtract the linear functions of a row."""
    for term in range(len(sums)):
        for column in range(sums.shape[1]):
            for lane in range(LANES):
                sums[term, column, lane] += sign * lines[term, column, lane]


@compiled
def sum_along(sums, radius, boxes):  # type: ignore[no-untyped-def]
    """Sum each row (terms, width, LANES) over the columns within the radius of each."""
    width = sums.shape[1]
    running = np.zeros(LANES)
    for term in range(len(sums)):
        running[:] = 0.0
        for column in range(-radius, width):
            if column + radius < width:
                for lane in range(LANES):
                    running[lane] += sums[term, column + radius, lane]
            if column > radius:
                for lane in range(LANES):
                    running[lane] -= sums[term, column - radius - 1, lane]
            if column >= 0:
                for lane in range(LANES):
                    boxes[term, column, lane] = running[lane]


@compiled
def fit_lines(boxes, counted, means, inverses, valid, lines):  # type: ignore[no-untyped-def]
    """Fit the linear function of each box of a row: an offset and slopes (1 + bands, width, LANES)."""
    bands = means.shape[1]
    for column in range(len(counted)):
        share = valid[column] / counted[column]
        for lane in range(LANES):
            lines[0, column, lane] = boxes[0, column, lane] * share
        for band in range(bands):
            for lane in range(LANES):
                boxes[1 + band, column, lane] *= share
                boxes[1 + band, column, lane] -= means[column, band] * lines[0, column, lane]
                lines[1 + band, column, lane] = 0.0
        for band in range(bands):
            for other in range(bands):
                factor = inverses[column, band, other]
                for lane in range(LANES):
                    lines[1 + band, column, lane] += factor * boxes[1 + other, column, lane]
        for band in range(bands):
            for lane in range(LANES):
                lines[0, column, lane] -= means[column, band] * lines[1 + band, column, lane]


@compiled
def apply_lines(boxes, counted, weighted, result):  # type: ignore[no-untyped-def]
    """Apply the mean of the linear functions of all boxes around each pixel of a row; boxes hold their sums."""
    for column in range(len(counted)):
        for lane in range(LANES):
            result[column, lane] = 0.0
        for term in range(len(weighted)):
            factor = weighted[term, column] / counted[column]
            for lane in range(LANES):
                result[column, lane] += factor * boxes[term, column, lane]
