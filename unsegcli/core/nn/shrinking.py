"""Batches at a part of their resolution: images as means of squares, maps by the pixel in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional


class Shrinkable(Protocol):
    """A dataclass with images, and maps that belong to them."""

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
    """The batch at a part of its resolution: images as means, superpixels and masks by the pixel in the middle."""
    if factor == 1:
        return batch
    images = functional.avg_pool2d(batch.images, factor, ceil_mode=True)
    maps = {"mask": batch.mask, "superpixels": batch.superpixels}
    coarse = {name: at_middles(values, images.shape[2:]) for name, values in maps.items() if values is not None}
    return replace(batch, images=images, **coarse)


def at_middles(maps: Tensor, grid: Sequence[int]) -> Tensor:
    """Maps (batch, height, width) on a coarser grid (rows, columns), each position by the pixel at its middle."""
    rows, columns = (
        ((2 * torch.arange(positions, device=maps.device) + 1) * pixels) // (2 * positions)
        for pixels, positions in zip(maps.shape[1:], grid, strict=True)
    )
    return maps[:, rows[:, None], columns]
