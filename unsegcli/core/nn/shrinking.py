"""Downsample batches: images by averaging blocks, maps by the central pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional


class Shrinkable(Protocol):
    """A dataclass of images and their maps."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def images(self) -> Tensor:
        """(batch, channels, height, width)."""

    @property
    def mask(self) -> Tensor | None:
        """(batch, height, width)."""

    @property
    def superpixels(self) -> Tensor | None:
        """(batch, height, width)."""


Given = TypeVar("Given", bound=Shrinkable)


def shrunk(batch: Given, factor: int) -> Given:
    """Downsample a batch: images by averaging blocks, superpixels and masks by the central pixel.

    Of an even number of pixels, that is the one before the middle; `at_middles` of the result takes the one after it,
    so that after both, with a factor of 2, a position is at most half a pixel from its middle.
    """
    if factor == 1:
        return batch
    images = functional.avg_pool2d(batch.images, factor, ceil_mode=True)
    maps = {"mask": batch.mask, "superpixels": batch.superpixels}
    coarse = {
        name: _at_middles(values, images.shape[2:], before=1) for name, values in maps.items() if values is not None
    }
    return replace(batch, images=images, **coarse)


def at_middles(maps: Tensor, grid: Sequence[int]) -> Tensor:
    """Downsample maps (batch, height, width) to a grid (rows, columns) by the central pixels, or those after them."""
    return _at_middles(maps, grid, before=0)


def _at_middles(maps: Tensor, grid: Sequence[int], before: int) -> Tensor:
    rows, columns = (
        ((2 * torch.arange(positions, device=maps.device) + 1) * pixels - before) // (2 * positions)
        for pixels, positions in zip(maps.shape[1:], grid, strict=True)
    )
    return maps[:, rows[:, None], columns]
