"""Make `unsegcli/core/superpixels/patches.npz`, the typical patches that describe the texture of regions.

    python tests/benchmarks/make_patch_book.py

No image and no label goes into it: the patches are from drawn images of overlapping ellipses of random size and
brightness ("dead leaves"), whose edges and statistics are like those of photographs at every scale. Their patches are
whitened and grouped by k-means (Coates and Ng, 2012). The codes of regions are then reduced to principal components,
also of drawn images. Float rounding differs between machines, so the file is shipped, not made again on each of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unsegcli.core.kmeans import kmeans
from unsegcli.core.superpixels.patches import BOOK, CODES, PatchBook, normalised_patches, raw_codes

IMAGES, SIDE = 120, 128
LEAVES = 400  # ellipses in an image
SMALLEST, LARGEST = 1.5, 64.0  # radius; areas are distributed as in a scale-invariant image
PATCHES = 300  # of each image
PATTERNS = 64  # typical patches
FLOOR = 0.1  # added to the variances before whitening, so that noise is not amplified
CELL = 14  # side of the squares that stand for regions


def main() -> None:
    """Fit the patterns and the components, and write them."""
    random = np.random.default_rng(0)
    patches = np.concatenate([_some(normalised_patches(image, 1), random) for image in _drawn_images(0)])
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches.T, bias=True).astype(np.float64))
    whitening = (vectors / np.sqrt(values + FLOOR)) @ vectors.T
    white = (patches - mean) @ whitening
    patterns = kmeans(white[:: len(white) // 18_000 or 1], PATTERNS, seed=0, starts=1, iterations=25).centres
    cells = (np.arange(SIDE) // CELL)[:, None] * (SIDE // CELL + 1) + np.arange(SIDE) // CELL
    plain = PatchBook(mean, whitening, patterns, np.zeros(2 * PATTERNS), np.eye(2 * PATTERNS))
    codes = np.concatenate([raw_codes(image, cells, int(cells.max()) + 1, plain)[0] for image in _drawn_images(5)])
    middle, spread = codes.mean(axis=0), codes.std(axis=0)
    _, axes = np.linalg.eigh(np.cov(((codes - middle) / spread).T, bias=True))
    components = axes[:, ::-1][:, :CODES] / spread[:, None]
    components /= np.sqrt((((codes - middle) @ components) ** 2).sum(axis=1).mean())  # typical codes have length 1
    arrays = (mean, whitening, patterns, middle, components)
    np.savez_compressed(BOOK, *(values.astype(np.float32) for values in arrays))
    print(f"{BOOK.name}: {BOOK.stat().st_size / 1e3:.0f} kB")


def _some(patches: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    return patches[random.integers(len(patches), size=PATCHES)]


def _drawn_images(seed: int) -> list[NDArray[np.float32]]:
    """Draw images (SIDE, SIDE) of lightness from 0 to 100, each a little blurred and noisy."""
    random = np.random.default_rng(seed)
    return [_drawn(random) for _ in range(IMAGES)]


def _drawn(random: np.random.Generator) -> NDArray[np.float32]:
    image = np.full((SIDE, SIDE), 50.0, np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(LEAVES):
        radius = SMALLEST * (1 - random.random() * (1 - (SMALLEST / LARGEST) ** 2)) ** -0.5
        row, column = random.random(2) * SIDE
        angle, flatness = random.random() * np.pi, random.uniform(0.3, 1)
        along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
        image[along**2 + (across / flatness) ** 2 < radius**2] = random.uniform(0, 100)
    blurred = gaussian_filter(image, random.uniform(0.4, 1.2))
    return (blurred + random.normal(0, random.uniform(0, 4), blurred.shape)).astype(np.float32)


if __name__ == "__main__":
    main()
