"""Random crops that contain part of a given object, resized to a fixed size.

Boxes are (..., 4): top, left, height and width in pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.draws import Draws

SHAPES = 10  # attempts per box; if none fits into the image, the box is its centre


def random_boxes(
    draws: Draws, purpose: str, extents: Tensor, count: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Draw boxes of random area, aspect ratio and position: (batch, count, 4).

    Args:
        draws: source of random numbers.
        purpose: name of the stream of random numbers.
        extents: (batch, 2) height and width of each image, at least 1.
        count: number of boxes per image.
        scale: smallest and largest area, as a share of the image area.
        ratio: smallest and largest aspect ratio (width over height), uniform on a logarithmic scale.
    """
    high, wide = (extents[:, side].double()[:, None, None] for side in (0, 1))
    drawn = draws.uniform(purpose, count, SHAPES, 2).double()
    areas = high * wide * (scale[0] + (scale[1] - scale[0]) * drawn[..., 0])
    shapes = torch.exp(math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * drawn[..., 1])
    widths, heights = (areas * shapes).sqrt().round(), (areas / shapes).sqrt().round()
    fits = (heights >= 1) & (widths >= 1) & (heights <= high) & (widths <= wide)
    first = fits.int().argmax(2, keepdim=True)  # the first that fits
    height, width = heights.gather(2, first)[..., 0], widths.gather(2, first)[..., 0]
    places = draws.uniform(f"{purpose} place", count, 2).double()
    top = (places[..., 0] * (high[..., 0] - height + 1)).floor()
    left = (places[..., 1] * (wide[..., 0] - width + 1)).floor()
    boxes = torch.stack([top, left, height, width], 2)
    return torch.where(fits.any(2)[..., None], boxes, _centres(extents, ratio)[:, None]).long()


def _centres(extents: Tensor, ratio: tuple[float, float]) -> Tensor:
    """Return the box of the whole image, or its centre if its aspect ratio is out of range: (batch, 4)."""
    high, wide = extents[:, 0].double(), extents[:, 1].double()
    height = torch.minimum(high, (wide / ratio[0]).round()).clamp_min(1)
    width = torch.minimum(wide, (high * ratio[1]).round()).clamp_min(1)
    return torch.stack([((high - height) / 2).floor(), ((wide - width) / 2).floor(), height, width], 1)


def shares(masks: Tensor, boxes: Tensor) -> Tensor:
    """Compute the share of each box (batch, count, 4) covered by a mask (batch, height, width): (batch, count)."""
    sums = functional.pad(masks.double().cumsum(1).cumsum(2), (1, 0, 1, 0))
    top, left, height, width = boxes.unbind(2)
    sample = torch.arange(len(masks), device=masks.device)[:, None]
    bottom, right = top + height, left + width
    inside = sums[sample, bottom, right] - sums[sample, top, right]
    return (inside - sums[sample, bottom, left] + sums[sample, top, left]) / (height * width)


def resized(images: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Crop a box (batch, 4) from each image (batch, channels, height, width), bilinearly resized to `side`."""
    parts = [
        functional.interpolate(
            image[None, :, top : top + height, left : left + width],
            size=(side, side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        for image, (top, left, height, width) in zip(images, boxes.tolist(), strict=True)
    ]
    return torch.cat(parts)


def resized_masks(masks: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Crop a box (batch, 4) from each mask (batch, height, width), resized to `side` by the nearest pixel."""
    steps = 2 * torch.arange(side, device=masks.device) + 1
    top, left, height, width = (boxes[:, number, None] for number in range(4))
    rows, columns = top + steps * height // (2 * side), left + steps * width // (2 * side)
    sample = torch.arange(len(masks), device=masks.device)[:, None, None]
    return masks[sample, rows[:, :, None], columns[:, None, :]]
