"""Codes of the texture of regions: how similar their small patches are to each of 64 typical patches.

The typical patches are from drawn images, not from photographs (`tests/benchmarks/make_patch_book.py`), so that the
codes of an image depend on nothing but that image. Patches are compared without their mean brightness and contrast.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap

BOOK = Path(__file__).with_name("patches.npz")
SIDE = 7  # of a patch, in pixels
CODES = 16  # dimensions of the codes of a region
NOISE = 2.5  # added to the contrast of a patch, in units of lightness: patches of less contrast count as flat
SCALES = ((1, 2), (2, 1))  # reduction of the image, and distance between patches on it

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PatchBook:
    """The typical patches, and what is needed to compare with them."""

    mean: NDArray[Any]  # (SIDE * SIDE,) of normalised patches
    whitening: NDArray[Any]  # (SIDE * SIDE, SIDE * SIDE)
    patterns: NDArray[Any]  # (patterns, SIDE * SIDE), whitened
    middle: NDArray[Any]  # (scales * patterns,) mean of the similarities
    components: NDArray[Any]  # (scales * patterns, CODES)


@functools.cache
def shipped_book() -> PatchBook:
    """Read the typical patches."""
    with np.load(BOOK, allow_pickle=False) as stored:
        return PatchBook(*(stored[f"arr_{number}"] for number in range(5)))


def patch_codes(lightness: Floats, regions: RegionMap, count: int) -> Floats:
    """Compute the codes of each region: (count, CODES); 0 for a region that is too small to have patches.

    Args:
        lightness: (height, width), 0 to 100; void pixels hold something plausible.
        regions: (height, width), -1 to `count` - 1; patches centred on -1 do not count.
        count: number of regions.
    """
    book = shipped_book()
    similarities, known = raw_codes(lightness, regions, count, book)
    codes: Floats = np.where(known[:, None], (similarities - book.middle) @ book.components, 0).astype(np.float32)
    return codes


def raw_codes(
    lightness: Floats, regions: NDArray[Any], count: int, book: PatchBook
) -> tuple[Floats, NDArray[np.bool_]]:
    """Compute the mean similarities of each region's patches to all patterns at all scales, and which have patches."""
    found, known = [], np.ones(count, np.bool_)
    for reduction, stride in SCALES:
        similar = _similarities(normalised_patches(lightness, reduction, stride), book)
        step = reduction * stride
        means, here = _means(similar, regions[::step, ::step].ravel(), count)
        found.append(means)
        known &= here
    return np.concatenate(found, axis=1), known


def normalised_patches(lightness: Floats, reduction: int, stride: int = 1) -> Floats:
    """Cut patches around every `stride`-th pixel of a reduced image, without mean and contrast: (patches, pixels)."""
    small = _reduced(lightness, reduction)
    margin = SIDE // 2
    padded = np.pad(small, margin, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE))[::stride, ::stride]
    patches = windows.reshape(-1, SIDE * SIDE)
    patches = patches - patches.mean(axis=1, keepdims=True)
    result: Floats = patches / (np.sqrt((patches**2).mean(axis=1, keepdims=True)) + np.float32(NOISE))
    return result


def _reduced(plane: Floats, reduction: int) -> Floats:
    """Average squares of pixels; an incomplete square at the border is filled by the last row or column."""
    if reduction == 1:
        return plane
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % reduction), (0, -width % reduction)), mode="edge")
    rows, columns = (side // reduction for side in padded.shape)
    means: Floats = padded.reshape(rows, reduction, columns, reduction).mean(axis=(1, 3), dtype=np.float32)
    return means


def _similarities(patches: Floats, book: PatchBook) -> Floats:
    """Compute how much closer a patch is to each pattern than to the average one, or 0: (patches, patterns)."""
    white = (patches - book.mean) @ book.whitening
    squared = (white**2).sum(axis=1, keepdims=True) - 2 * white @ book.patterns.T + (book.patterns**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squared, 0))
    similar: Floats = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0)
    return similar


def _means(values: Floats, numbers: NDArray[Any], count: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Average the rows of each number: (count, dimensions), and which numbers have rows."""
    from scipy.sparse import csr_array

    inside = np.flatnonzero(numbers >= 0)
    sizes = np.bincount(numbers[inside], minlength=count)
    at = (numbers[inside], inside)
    members = csr_array((np.ones(len(inside), np.float32), at), shape=(count, len(numbers)))
    means: Floats = (members @ values) / np.maximum(sizes, 1)[:, None].astype(np.float32)
    return means, sizes > 0
