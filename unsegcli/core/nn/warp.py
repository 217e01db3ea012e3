"""Affine transformations of images and their inverses, with masks of the visible pixels.

Coordinates are (x, y), from -1 to 1 at the outer borders (align_corners is False everywhere).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.draws import Draws

SEEN = 0.999  # share of a pixel's interpolation weights that must lie inside the image


def affine(turn: Tensor, scale: Tensor, shift: Tensor, shear: Tensor, flip: Tensor) -> Tensor:
    """Make matrices (batch, 2, 3) that map coordinates of the new image to coordinates of the old one.

    Args:
        turn: (batch,) angle in degrees.
        scale: (batch,) above 1 zooms in.
        shift: (batch, 2) in x and y, as a share of the image's side.
        shear: (batch,) angle in degrees.
        flip: (batch,) bool, left to right.
    """
    angle, lean = turn * math.pi / 180, (shear * math.pi / 180).tan()
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(flip, -1.0, 1.0)
    first = torch.stack([sign * cosine, cosine * lean - sine, 2 * shift[:, 0]], 1)
    second = torch.stack([sign * sine, sine * lean + cosine, 2 * shift[:, 1]], 1)
    return torch.stack([first, second], 1)


def drawn_affine(
    draws: Draws, purpose: str, *, turn: float, zoom: float, shift: float, shear: float, flip: bool
) -> Tensor:
    """Draw a random matrix for each sample: (batch, 2, 3).

    Args:
        draws: source of random numbers.
        purpose: name of the stream of random numbers.
        turn: largest angle in degrees, in both directions.
        zoom: largest change of scale.
        shift: largest shift, as a share of the image's side.
        shear: largest shear angle in degrees.
        flip: mirror half of the samples.
    """
    drawn = draws.uniform(purpose, 6, low=-1.0, high=1.0)
    return affine(
        turn * drawn[:, 0], 1 + zoom * drawn[:, 1], shift * drawn[:, 2:4], shear * drawn[:, 4], (drawn[:, 5] > 0) & flip
    )


def inverse(matrices: Tensor) -> Tensor:
    """Invert matrices (batch, 2, 3)."""
    turned = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat([turned, -turned @ matrices[:, :, 2:]], 2)


def warp(images: Tensor, matrices: Tensor, *, nearest: bool = False, mirrored: bool = False) -> Tensor:
    """Transform images: (batch, channels, height, width); outside the old image zeros, or its mirror image."""
    grid = functional.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    mode, padding = "nearest" if nearest else "bilinear", "reflection" if mirrored else "zeros"
    return functional.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)


def seen(images: Tensor, matrices: Tensor) -> Tensor:
    """Return which pixels of the new image lie entirely in the old one: (batch, height, width), bool."""
    ones = torch.ones_like(images[:, :1])
    return warp(ones, matrices)[:, 0] > SEEN


def there_and_back(images: Tensor, matrices: Tensor) -> Tensor:
    """Return which pixels of the old image survive a warp and its inverse: (batch, height, width), bool."""
    there = seen(images, matrices).to(images.dtype)[:, None]
    return warp(there, inverse(matrices))[:, 0] > SEEN
