"""Labelled mosaics: images put together from textures, so that the class of every pixel is known.

Pure functions on arrays: where the textures come from is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDNESS = 0.11  # of regions: standard deviation of the Gaussian, as a share of the side
FEWEST, MOST = 2, 4  # classes in one image
LIGHT = (0.75, 1.25)  # brightness from one side of a region's crop to the other
TINT = 0.12  # how far a colour may be shifted, as a share


def mosaic(
    textures: Sequence[NDArray[np.uint8]], side: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (side, side, 3) and its label map (side, side).

    Args:
        textures: one for each class, (height, width, 3), each side longer than 1.5 times `side`.
        side: of the image.
        random: every choice is drawn from it.
    """
    classes = random.choice(len(textures), random.integers(FEWEST, MOST + 1), replace=False)
    labels = classes[_regions(len(classes), side, random)].astype(np.uint8)
    image = np.zeros((side, side, 3), np.float64)
    for number in classes:
        inside = labels == number
        image[inside] = _view(textures[number], side, random)[inside]
    return np.clip(image, 0, 255).round().astype(np.uint8), labels


def _regions(count: int, side: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Round random shapes: at each pixel the highest of smooth random fields."""
    from scipy.ndimage import gaussian_filter

    noise = random.standard_normal((count, side, side))
    fields = gaussian_filter(noise, sigma=(0, ROUNDNESS * side, ROUNDNESS * side), mode="reflect")
    found: NDArray[np.intp] = (fields / fields.std(axis=(1, 2), keepdims=True)).argmax(axis=0)
    return found


def _view(texture: NDArray[np.uint8], side: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A crop of a texture, turned, mirrored, lit and tinted at random: (side, side, 3)."""
    from scipy.ndimage import rotate

    large = int(1.5 * side)  # holds the image at any angle, corners included
    top, left = (int(random.integers(0, length - large + 1)) for length in texture.shape[:2])
    crop = texture[top : top + large, left : left + large].astype(np.float64)
    turned = rotate(crop, float(random.uniform(0, 360)), axes=(1, 0), reshape=False, order=1, mode="reflect")
    start = (large - side) // 2
    view = turned[start : start + side, start : start + side]
    if random.integers(2):
        view = view[:, ::-1]
    dark, bright = np.sort(random.uniform(*LIGHT, 2))
    light = np.linspace(dark, bright, side)
    shaded = view * (light[:, None, None] if random.integers(2) else light[None, :, None])
    return shaded * (1 + random.uniform(-TINT, TINT, 3))
