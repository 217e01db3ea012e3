"""Labelled mosaics: synthetic images composed of textures, with the class of every pixel known.

Pure functions on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDNESS = 0.11  # of regions: standard deviation of the Gaussian, as a share of the side
FEWEST, MOST = 2, 4  # classes in one image
LIGHT = (0.75, 1.25)  # range of the brightness across the crop of a region
TINT = 0.12  # largest change of a colour band, as a share


def mosaic(
    textures: Sequence[NDArray[np.uint8]], side: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Compose an image (side, side, 3) and its label map (side, side).

    Args:
        textures: one per class, (height, width, 3), each side longer than 1.5 times `side`.
        side: side of the image in pixels.
        random: generator of all random choices.
    """
    classes = random.choice(len(textures), random.integers(FEWEST, MOST + 1), replace=False)
    labels = classes[_regions(len(classes), side, random)].astype(np.uint8)
    image = np.zeros((side, side, 3), np.float64)
    for number in classes:
        inside = labels == number
        image[inside] = _view(textures[number], side, random)[inside]
    return np.clip(image, 0, 255).round().astype(np.uint8), labels


def _regions(count: int, side: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw random round shapes: the argmax of smooth random fields at each pixel."""
    from scipy.ndimage import gaussian_filter

    noise = random.standard_normal((count, side, side))
    fields = gaussian_filter(noise, sigma=(0, ROUNDNESS * side, ROUNDNESS * side), mode="reflect")
    found: NDArray[np.intp] = (fields / fields.std(axis=(1, 2), keepdims=True)).argmax(axis=0)
    return found


def _view(texture: NDArray[np.uint8], side: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Crop a texture with random rotation, flip, brightness gradient and tint: (side, side, 3)."""
    from scipy.ndimage import rotate

    large = int(1.5 * side)  # contains the image at any angle, including its corners
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
