"""Average maps over superpixels, and expand the means to pixels: the torch version of `regions.py`.

Superpixels are numbered through the batch, -1 = void.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unsegcli.core.nn.shrinking import at_middles


class Pooled(NamedTuple):
    """Means and areas of all superpixels of a batch."""

    means: Tensor  # (superpixels, channels); 0 for a superpixel without a pixel
    areas: Tensor  # (superpixels,) number of pixels


def pool(maps: Tensor, superpixels: Tensor, count: int, weights: Tensor | None = None) -> Pooled:
    """Average (batch, channels, height, width) over superpixels (batch, height, width).

    Args:
        maps: maps to average.
        superpixels: 0 to count - 1, -1 = void.
        count: number of superpixels, including empty ones.
        weights: (batch, height, width) weight of each pixel; None = 1.
    """
    channels = maps.shape[1]
    flat = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    numbers = superpixels.reshape(-1)
    numbers = torch.where(numbers < 0, count, numbers)  # void pixels use an extra row that is dropped
    if weights is None:
        areas = torch.bincount(numbers, minlength=count + 1)[:-1].to(flat.dtype)
    else:
        share = weights.reshape(-1).to(flat.dtype)
        areas = flat.new_zeros(count + 1).index_add(0, numbers, share)[:-1]
        flat = flat * share[:, None]
    sums = flat.new_zeros(count + 1, channels).index_add(0, numbers, flat)[:-1]
    return Pooled(sums / torch.where(areas > 0, areas, 1)[:, None], areas)


def superpixel_means(maps: Tensor, superpixels: Tensor, count: int) -> Tensor:
    """Average maps of a coarser grid over superpixels: (superpixels, channels); void is left out.

    A superpixel is given the positions whose central pixel it holds, as in the losses; one too small for that, those
    that its pixels lie in.

    Args:
        maps: (batch, channels, rows, columns).
        superpixels: (batch, height, width), 0 to count - 1, -1 = void.
        count: number of superpixels; one without a pixel gets 0.
    """
    grid = (maps.shape[2], maps.shape[3])
    found = pool(maps, at_middles(superpixels, grid), count)
    missed = torch.cat([found.areas == 0, found.areas.new_zeros(1, dtype=torch.bool)])  # -1 selects the last entry
    places = missed[superpixels].nonzero(as_tuple=True)
    numbers = superpixels[places]
    image, *inside = places
    row, column = (
        at * positions // pixels for at, positions, pixels in zip(inside, grid, superpixels.shape[1:], strict=True)
    )
    sums = found.means.index_add(0, numbers, maps[image, :, row, column])
    pixels = found.areas.new_zeros(count).index_add(0, numbers, torch.ones_like(numbers, dtype=found.areas.dtype))
    return sums / pixels.clamp_min(1)[:, None]


def paint(rows: Tensor, superpixels: Tensor) -> Tensor:
    """Expand rows (superpixels, channels) to pixels: (batch, channels, height, width); void = 0."""
    padded = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
    return padded[superpixels].permute(0, 3, 1, 2)  # -1 selects the last row


def levelled(maps: Tensor, superpixels: Tensor, count: int) -> Tensor:
    """Replace each pixel of (batch, channels, height, width) by the mean of its superpixel; void pixels are kept.

    Args:
        maps: maps to average.
        superpixels: (batch, height, width), 0 to count - 1, -1 = void.
        count: number of superpixels.
    """
    painted = paint(pool(maps, superpixels, count).means, superpixels)
    return torch.where((superpixels < 0)[:, None], maps, painted)
