"""Images and masks on which an algorithm for superpixels is asked for a number, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import photographs
from numpy.typing import NDArray
from PIL import Image
from slic_reference import number_of

from unsegcli.core.superpixels.regions import is_connected

SIZES = ((256, 256), (100, 400), (321, 481), (400, 100))
BANDS = (1, 3, 4, 8)
MASKED, SCENE = (260, 300), 260
SEEDS = 4  # of each form of mask

Pixels = NDArray[np.uint8]
Cut = Callable[[NDArray[Any], NDArray[np.bool_] | None, int, float], NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class Asked:
    """An image of one of the groups, with its mask or without one."""

    group: str
    pixels: Pixels  # (height, width, bands)
    valid: NDArray[np.bool_] | None = None


def ratio_of(cut: Cut, asked: Asked, segments: int, compactness: float) -> tuple[float, bool]:
    """Return the number of superpixels over what was asked for, and whether the map is as it must be.

    It must be -1 exactly where a pixel is not valid, numbered 0 to n - 1, and each superpixel connected.
    """
    regions = cut(asked.pixels, asked.valid, segments, compactness)
    number = number_of(regions)
    covered = np.ones(regions.shape, np.bool_) if asked.valid is None else asked.valid
    sound = np.array_equal(regions >= 0, covered) and int(regions.max()) + 1 == number and is_connected(regions)
    return number / segments, bool(sound)


def images_to_ask(data: Path | None, names: list[str]) -> Iterator[Asked]:
    """All groups: images of a folder if there is one, photographs, noise, flat, gradients, masks, and a scene."""
    for name in names if data is not None else ():
        assert data is not None
        yield Asked("images of the folder", np.asarray(Image.open(data / "images" / f"{name}.jpg").convert("RGB")))
    for bands in BANDS:
        for height, width in SIZES:
            yield from _unmasked(height, width, bands)
    yield from _masked()
    scene = next(photographs(1, SCENE))
    yield Asked("one scene of four bands", banded(scene, 4))


def banded(pixels: Pixels, bands: int) -> Pixels:
    """Make an image of any number of bands from one of three: its mean, itself, or mixtures of its bands."""
    if bands == 3:
        return pixels
    if bands == 1:
        return pixels.mean(axis=2, keepdims=True).astype(np.uint8)
    weights = np.random.default_rng(bands).dirichlet(np.ones(3), bands)
    return np.asarray(pixels @ weights.T).astype(np.uint8)


def _unmasked(height: int, width: int, bands: int) -> Iterator[Asked]:
    random = np.random.default_rng(height + bands)
    for image in photographs(3, max(height, width), seed=bands):
        yield Asked("photographs", banded(image[:height, :width], bands))
    for _ in range(2):
        yield Asked("noise", random.integers(0, 256, (height, width, bands), np.uint8))
    for value in (0, 128):
        yield Asked("flat", np.full((height, width, bands), value, np.uint8))
    down, across = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width]
    for slope in (down, across, (down + across) / 2, np.hypot(down - 0.5, across - 0.5)):
        shades = np.linspace(1.0, 0.4, bands)
        yield Asked("gradients", (255 * slope[:, :, None] * shades).astype(np.uint8))


def _masked() -> Iterator[Asked]:
    """Masks on a photograph and on noise."""
    height, width = MASKED
    photograph = next(photographs(1, max(MASKED)))[:height, :width]
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        for group, valid in (
            ("a disc", disc(height, width, random)),
            ("rectangles with holes", rectangles(height, width, random)),
            ("two islands", islands(height, width, random)),
        ):
            yield Asked(f"photograph, mask: {group}", photograph, valid)
            yield Asked("noise, any of these masks", noise, valid)


def disc(height: int, width: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """A disc anywhere, cut off where it leaves the image."""
    down, across = np.mgrid[:height, :width]
    radius = random.uniform(0.2, 0.5) * min(height, width)
    inside: NDArray[np.bool_] = (
        np.hypot(down - random.uniform(0.3, 0.7) * height, across - random.uniform(0.3, 0.7) * width) < radius
    )
    return inside


def rectangles(height: int, width: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """A rectangle of most of the image, with rectangular holes."""
    valid = np.zeros((height, width), np.bool_)
    top, left = int(random.integers(height // 5)), int(random.integers(width // 5))
    valid[top : height - top // 2, left : width - left // 2] = True
    for _ in range(6):
        row, column = int(random.integers(height)), int(random.integers(width))
        valid[
            row : row + int(random.integers(5, height // 4)), column : column + int(random.integers(5, width // 4))
        ] = 0
    return valid


def islands(height: int, width: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Two rectangles of different size, far from each other."""
    valid = np.zeros((height, width), np.bool_)
    valid[: int(height * random.uniform(0.2, 0.5)), : int(width * random.uniform(0.2, 0.4))] = True
    valid[int(height * random.uniform(0.6, 0.8)) :, int(width * random.uniform(0.5, 0.7)) :] = True
    return valid
