"""Changes of light and colour for images of any number of bands, each sample by itself.

Geometry is left alone; see `warp.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unsegcli.core.draws import Draws

LIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue


def jitter(
    images: Tensor,
    draws: Draws,
    purpose: str,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    bands: float = 0.0,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of (batch, channels, height, width), values from 0 to 1.

    Each is drawn anew for each sample, in this order. Saturation and hue mean the first three of three or four bands,
    red, green and blue; brightness and contrast all bands.

    Args:
        images: the images.
        draws: where random numbers come from.
        purpose: names this use of random numbers, so that two views differ.
        brightness: factor from 1 - b to 1 + b.
        contrast: factor on the distance to the mean lightness, from 1 - c to 1 + c.
        saturation: factor on the distance to grey, likewise.
        hue: turn by up to this share of the colour circle, both ways.
        bands: factor for each band by itself, likewise: for bands that are no colours.
    """
    count, channels = images.shape[:2]
    factors = 1 + draws.uniform(f"{purpose} light", 3 + channels, low=-1.0, high=1.0) * images.new_tensor(
        [brightness, contrast, saturation, *[bands] * channels]
    )
    images = images * factors[:, :1, None, None] * factors[:, 3:, None, None]
    colours = channels in (3, 4)
    grey = lightness(images[:, :3]) if colours else images.mean(1, keepdim=True)
    images = images.lerp(grey.mean((2, 3), keepdim=True).expand_as(images), 1 - factors[:, 1, None, None, None])
    if colours and (saturation or hue):
        rgb = images[:, :3]
        rgb = rgb.lerp(lightness(rgb).expand_as(rgb), 1 - factors[:, 2, None, None, None])
        if hue:
            turn = draws.uniform(f"{purpose} hue", low=-hue, high=hue).reshape(count)
            rgb = _turned(rgb, turn)
        images = torch.cat([rgb, images[:, 3:]], 1)
    return images.clamp(0, 1)


def lightness(rgb: Tensor) -> Tensor:
    """Weighted mean of red, green and blue: (batch, 1, height, width)."""
    weights = rgb.new_tensor(LIGHTNESS)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def _turned(rgb: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the circle, as a rotation in the plane of YIQ's two colour axes."""
    to_yiq = rgb.new_tensor([LIGHTNESS, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
    angle = 2 * torch.pi * turn
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.zeros(len(turn), 3, 3, dtype=rgb.dtype, device=rgb.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = cosine
    rotation[:, 1, 2], rotation[:, 2, 1] = -sine, sine
    matrices = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrices, rgb)
