"""Affine changes of images and the way back, with a mask of what can be seen; one convention for positions.

Positions are in (x, y) from -1 to 1 at the outer borders (align_corners is False everywhere).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.draws import Draws

SEEN = 0.999  # weight of the image (not of what lies beyond) that a pixel must have after interpolation


def affine(turn: Tensor, scale: Tensor, shift: Tensor, shear: Tensor, flip: Tensor) -> Tensor:
    """Matrices (batch, 2, 3) that take positions in the new image to positions in the old one.

    Args:
        turn: (batch,) angle in degrees.
        scale: (batch,) above 1 shows less of the old image, enlarged.
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
    """Random matrices (batch, 2, 3), one for each sample.

    Args:
        draws: where random numbers come from.
        purpose: names this use of random numbers.
        turn: largest angle in degrees, both ways.
        zoom: largest change of scale.
        shift: largest, as a share of the image's side.
        shear: largest angle in degrees.
        flip: mirror half of the samples.
    """
    drawn = draws.uniform(purpose, 6, low=-1.0, high=1.0)
    return affine(
        turn * drawn[:, 0], 1 + zoom * drawn[:, 1], shift * drawn[:, 2:4], shear * drawn[:, 4], (drawn[:, 5] > 0) & flip
    )


def inverse(matrices: Tensor) -> Tensor:
    """The way back (batch, 2, 3)."""
    turned = torch.linalg.inv(matrices[:, :, :2])
    return torch.cat([turned, -turned @ matrices[:, :, 2:]], 2)


def warp(images: Tensor, matrices: Tensor, *, nearest: bool = False) -> Tensor:
    """The new images (batch, channels, height, width); zeros where the old one ends."""
    grid = functional.affine_grid(matrices.to(images.dtype), list(images.shape), align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


def seen(images: Tensor, matrices: Tensor) -> Tensor:
    """Which pixels of the new image lie wholly in the old one: (batch, height, width), bool."""
    ones = torch.ones_like(images[:, :1])
    return warp(ones, matrices)[:, 0] > SEEN


def there_and_back(images: Tensor, matrices: Tensor) -> Tensor:
    """Which pixels of the old image are still known after a warp and its inverse: (batch, height, width), bool."""
    there = seen(images, matrices).to(images.dtype)[:, None]
    return warp(there, inverse(matrices))[:, 0] > SEEN
