"""Frames of an object with a texture that moves, turns and grows over a background with another, and its masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

NOISE = 3.0  # grey levels, of each frame by itself


def moving_object(
    frames: int = 24, height: int = 120, width: int = 160, seed: int = 0
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Return images (height, width, 3) and masks of the object."""
    random = np.random.default_rng(seed)
    ground = _texture(random, height, width, 2.0, (100, 120, 90))
    surface = _texture(random, height, width, 1.5, (165, 95, 90))
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    found = []
    for number in range(frames):
        share = number / 23
        down, across = rows - height * (0.4 + 0.15 * share), columns - width * (0.28 + 0.4 * share)
        angle, zoom = np.deg2rad(20 * share), 1 + 0.15 * share
        there = np.stack([np.cos(angle) * down - np.sin(angle) * across, np.sin(angle) * down + np.cos(angle) * across])
        there /= zoom
        mask = (there[0] / (height / 6)) ** 2 + (there[1] / (width / 6)) ** 2 < 1
        places = there + np.array([height / 2, width / 2])[:, None, None]
        shown = np.stack([map_coordinates(surface[..., band], places, order=1) for band in range(3)], 2)
        image = np.where(mask[:, :, None], shown, ground) + random.normal(0, NOISE, (height, width, 3))
        found.append((np.clip(image, 0, 255).astype(np.uint8), mask))
    return found


def _texture(random: Any, height: int, width: int, sigma: float, colour: tuple[int, int, int]) -> NDArray[Any]:
    """Return blurred noise around a colour: (height, width, 3)."""
    noise = np.stack([gaussian_filter(random.normal(size=(height, width)), sigma) for _ in range(3)], 2)
    texture: NDArray[Any] = np.clip(np.array(colour) + 20 * noise / noise.std(), 0, 255)
    return texture
