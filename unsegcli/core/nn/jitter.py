"""Colour jitter for images of any number of bands, independently for each sample.

Geometric transformations are in `warp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unsegcli.core.draws import Draws

LIGHTNESS = (0.299, 0.587, 0.114)  # weights of red, green and blue


@dataclass(frozen=True)
class Strengths:
    """How strong each change may be."""

    brightness: float = 0.4  # factor from 1 - b to 1 + b
    contrast: float = 0.4  # factor on the difference from the mean lightness, from 1 - c to 1 + c
    saturation: float = 0.4  # factor on the difference from grey, likewise
    hue: float = 0.1  # rotation by up to this share of the colour circle, in both directions
    bands: float = 0.0  # independent factor for each band, likewise, for bands that are not colours


def jitter(
    images: Tensor,
    draws: Draws,
    purpose: str,
    strengths: Strengths | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of (batch, channels, height, width), values from 0 to 1.

    The changes are drawn independently for each sample and applied in this order. Brightness and contrast apply to all
    bands; saturation and hue only to images of three or four bands, of which the first three are red, green and blue.

    Args:
        images: the images.
        draws: source of random numbers.
        purpose: name of the stream of random numbers, so that two views differ.
        strengths: how strong each change may be.
        valid: (batch, height, width), bool; other pixels become 0 and do not count in the mean lightness. None = all.
    """
    given = strengths or Strengths()
    count, channels = images.shape[:2]
    factors = 1 + draws.uniform(f"{purpose} light", 3 + channels, low=-1.0, high=1.0) * images.new_tensor(
        [given.brightness, given.contrast, given.saturation, *[given.bands] * channels]
    )
    images = images * factors[:, :1, None, None] * factors[:, 3:, None, None]
    colours = channels in (3, 4)
    grey = lightness(images[:, :3]) if colours else images.mean(1, keepdim=True)
    images = images.lerp(_mean_of(grey, valid).expand_as(images), 1 - factors[:, 1, None, None, None])
    if colours and (given.saturation or given.hue):
        rgb = images[:, :3]
        rgb = rgb.lerp(lightness(rgb).expand_as(rgb), 1 - factors[:, 2, None, None, None])
        if given.hue:
            turn = draws.uniform(f"{purpose} hue", low=-given.hue, high=given.hue).reshape(count)
            rgb = _turned(rgb, turn)
        images = torch.cat([rgb, images[:, 3:]], 1)
    images = images.clamp(0, 1)
    return images if valid is None else images * valid[:, None]


def lightness(rgb: Tensor) -> Tensor:
    """Compute the weighted mean of red, green and blue: (batch, 1, height, width)."""
    weights = rgb.new_tensor(LIGHTNESS)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def _mean_of(grey: Tensor, valid: Tensor | None) -> Tensor:
    """Average (batch, 1, height, width) over valid pixels: (batch, 1, 1, 1)."""
    if valid is None:
        return grey.mean((2, 3), keepdim=True)
    inside = valid[:, None].to(grey.dtype)
    mean: Tensor = (grey * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp_min(1)
    return mean


def _turned(rgb: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue by a share of the circle, in the IQ plane of YIQ."""
    to_yiq = rgb.new_tensor([LIGHTNESS, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
    angle = 2 * torch.pi * turn
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.zeros(len(turn), 3, 3, dtype=rgb.dtype, device=rgb.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = cosine
    rotation[:, 1, 2], rotation[:, 2, 1] = -sine, sine
    matrices = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrices, rgb)
