"""Separable image filters with symmetric banded matrices, compiled by numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled_loosely


def banded(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Extract 2 reach + 1 diagonals of a matrix: entry (i, k) is the matrix at (i, i + k - reach)."""
    length = len(matrix)
    rows, columns = np.nonzero(matrix)
    reach = int(np.abs(rows - columns).max())
    bands = np.zeros((length, 2 * reach + 1))
    for offset in range(-reach, reach + 1):
        at = np.arange(max(0, -offset), min(length, length - offset))
        bands[at, offset + reach] = matrix[at, at + offset]
    return bands


def filtered(
    stack: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Filter (planes, height, width) vertically by `rows` and horizontally by `columns`."""
    half, whole = np.empty_like(stack), np.empty_like(stack)
    filter_rows(stack, rows, half)
    _filter_columns(half, np.ascontiguousarray(columns.T), whole)
    return whole


@compiled_loosely
def filter_rows(stack, weights, out):
    """Filter vertically: row i of `out` is the sum of rows near i, weighted by row i of the filter."""
    planes, height, width = stack.shape
    reach = weights.shape[1] // 2
    for plane in range(planes):
        for row in range(height):
            target = out[plane, row]
            target[:] = 0.0
            shift = reach - row
            other, end = max(0, row - reach), min(height, row + reach + 1)
            while other + 4 <= end:  # four at a time, since memory access costs as much as the addition
                a, b = weights[row, other + shift], weights[row, other + 1 + shift]
                c, d = weights[row, other + 2 + shift], weights[row, other + 3 + shift]
                first, second = stack[plane, other], stack[plane, other + 1]
                third, fourth = stack[plane, other + 2], stack[plane, other + 3]
                for x in range(width):
                    target[x] += a * first[x] + b * second[x] + c * third[x] + d * fourth[x]
                other += 4
            while other < end:
                a, first = weights[row, other + shift], stack[plane, other]
                for x in range(width):
                    target[x] += a * first[x]
                other += 1


@compiled_loosely
def _filter_columns(stack, weights, out):
    """Filter horizontally: column i of `out` is the sum of columns near i, weighted by column i of (taps, width)."""
    planes, height, width = stack.shape
    reach = weights.shape[0] // 2
    for plane in range(planes):
        for row in range(height):
            source, target = stack[plane, row], out[plane, row]
            target[:] = 0.0
            for offset in range(max(-reach, 1 - width), min(reach, width - 1) + 1):
                first, last = max(0, -offset), min(width, width - offset)
                shifted, share, sums = (
                    source[first + offset : last + offset], weights[offset + reach, first:last], target[first:last],
                )  # fmt: skip
                for x in range(last - first):
                    sums[x] += share[x] * shifted[x]
