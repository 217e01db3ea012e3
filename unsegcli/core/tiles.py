"""Overlapping tiles for large images: their positions along an axis, and the blending weights of pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RAMP = 16  # pixels over which two tiles are blended


class Span(NamedTuple):
    """A tile along one axis."""

    start: int
    weights: NDArray[np.float32]  # (length,) from 0, without enough context, to 1


def rounded_up(length: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-length // multiple) * multiple


def spans(length: int, tile: int, margin: int, multiple: int) -> list[Span]:
    """Cover an axis with tiles; at each pixel, at least one tile has a weight above 0.

    Args:
        length: length of the axis, a multiple of `multiple`.
        tile: length of a tile, a multiple of `multiple`, at least twice that.
        margin: pixels at the border of a tile with weight 0, except at the ends of the axis; reduced if it would
            take most of the tile.
        multiple: tiles start at multiples of this, so that the strides of the network are aligned in all tiles.
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
