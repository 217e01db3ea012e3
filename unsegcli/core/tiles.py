"""Large images in tiles that overlap: where they lie along an axis, and how much each counts at every pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RAMP = 16  # pixels in which one tile hands over to the next


class Span(NamedTuple):
    """A tile along one axis."""

    start: int
    weights: NDArray[np.float32]  # (length,) from 0 where the tile knows too little to 1


def rounded_up(length: int, multiple: int) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple


def spans(length: int, tile: int, margin: int, multiple: int) -> list[Span]:
    """Tiles that cover an axis; at each pixel the weight of one of them at least is above 0.

    Args:
        length: of the axis, a multiple of `multiple`.
        tile: of a tile, a multiple of `multiple`, at least twice that.
        margin: pixels at a tile's border that count nothing, unless the axis ends there; fewer where it would
            take most of the tile.
        multiple: all tiles start at one, so that strides of the network fall on the same pixels in each.
    """
    if length <= tile:
        return [Span(0, np.ones(length, np.float32))]
    margin = min(margin, (tile - RAMP - tile // 4) // 2)
    step = max(multiple, (tile - 2 * margin - RAMP) // multiple * multiple)
    margin = min(margin, (tile - step) // 2)
    starts = [*range(0, length - tile, step), length - tile]
    rise = np.clip((np.arange(tile) - margin + 0.5) / RAMP, 0, 1).astype(np.float32)
    ones = np.ones(tile, np.float32)
    return [
        Span(start, (rise if start else ones) * (rise[::-1] if start + tile < length else ones)) for start in starts
    ]
