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
SCALES = ((1, 3), (2, 2))  # reduction of the image, and distance between patches on it
BLOCK = 2048  # patches compared at once

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
        step = reduction * stride
        windows = _windows(_reduced(lightness, reduction), stride)
        sums, sizes = _summed(windows, regions[::step, ::step], count, book)
        found.append(sums / np.maximum(sizes, 1)[:, None].astype(np.float32))
        known &= sizes > 0
    return np.concatenate(found, axis=1), known


def normalised_patches(lightness: Floats, reduction: int) -> Floats:
    """Cut the patches around every pixel of a reduced image, without mean and contrast: (patches, pixels)."""
    return _normalised(_windows(_reduced(lightness, reduction), 1))


def _windows(plane: Floats, stride: int) -> Floats:
    """Return the patches around every `stride`-th pixel, without copying: (rows, columns, SIDE, SIDE)."""
    rows, columns = (mirrored(side, SIDE // 2) for side in plane.shape)
    padded = plane[rows[:, None], columns]
    windows: Floats = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE))[::stride, ::stride]
    return windows


@functools.lru_cache(maxsize=64)
def mirrored(side: int, margin: int) -> NDArray[np.intp]:
    """Return the places of a row of pixels, with a margin before and after it in which the pixels are mirrored."""
    return np.pad(np.arange(side), margin, mode="symmetric")


def _normalised(windows: Floats) -> Floats:
    """Take mean and contrast off: (patches, pixels)."""
    raw = windows.reshape(-1, SIDE * SIDE)
    patches: Floats = raw - raw.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.einsum("ij,ij->i", patches, patches) / np.float32(SIDE * SIDE)) + np.float32(NOISE)
    patches /= contrast[:, None]
    return patches


def _summed(
    windows: Floats, numbers: NDArray[Any], count: int, book: PatchBook
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sum the similarities of each number's patches, and count these, in blocks that fit into the cache of a core."""
    from scipy.sparse import csr_array

    sums, sizes = np.zeros((count, len(book.patterns)), np.float32), np.zeros(count, np.int64)
    rows = max(1, BLOCK // max(1, numbers.shape[1]))
    for start in range(0, len(numbers), rows):
        inside = numbers[start : start + rows].ravel()
        at = np.flatnonzero(inside >= 0)
        if not len(at):
            continue
        first, last = int(inside[at].min()), int(inside.max()) + 1
        similar = _similarities(_normalised(windows[start : start + rows]), book)
        shape = (last - first, len(inside))
        own = inside[at] - first
        found = np.bincount(own, minlength=last - first)
        starts = np.concatenate([[0], np.cumsum(found)])
        members = csr_array((np.ones(len(at), np.float32), at[np.argsort(own, kind="stable")], starts), shape=shape)
        sums[first:last] += members @ similar
        sizes[first:last] += found
    return sums, sizes


def _reduced(plane: Floats, reduction: int) -> Floats:
    """Average squares of pixels; an incomplete square at the border is filled by the last row or column."""
    if reduction == 1:
        return plane
    height, width = plane.shape
    missing = ((0, -height % reduction), (0, -width % reduction))
    padded = np.pad(plane, missing, mode="edge") if any(map(any, missing)) else plane
    rows, columns = (side // reduction for side in padded.shape)
    means: Floats = padded.reshape(rows, reduction, columns, reduction).mean(axis=(1, 3), dtype=np.float32)
    return means


def _similarities(patches: Floats, book: PatchBook) -> Floats:
    """Compute how much closer a patch is to each pattern than to the average one, or 0: (patches, patterns)."""
    white = (patches - book.mean) @ book.whitening
    distances = white @ (-2 * book.patterns.T)
    distances += np.einsum("ij,ij->i", white, white)[:, None]
    distances += np.einsum("ij,ij->i", book.patterns, book.patterns)
    np.maximum(distances, 0, out=distances)
    np.sqrt(distances, out=distances)
    similar: Floats = np.subtract(distances.mean(axis=1, keepdims=True), distances, out=distances)
    return np.maximum(similar, 0, out=similar)
