"""Merge parts of a label map that are too small into their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.pieces import BandPieces


def sieve(values: NDArray[np.integer[Any]], smallest: int) -> NDArray[np.int32]:
    """Give each part of fewer than `smallest` pixels the value of the neighbour with the longest common border.

    A part is what is 4-connected and has one value. The smallest part comes first, and of equal ones the first row by
    row; of equal borders the larger neighbour is taken. Parts that thereby touch one of the same value become one. A
    part without neighbours stays.

    Args:
        values: (height, width), negative = void, which is never merged.
        smallest: minimum number of pixels.
    """
    pieces = BandPieces(smallest)
    numbers = pieces.add(values)
    parts = pieces.parts()
    return np.append(parts.values, np.int32(-1))[parts.of_piece][numbers]
