"""Run lengths of masks as COCO has them: down the columns, first of pixels outside, then inside, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS, SIGN, MORE, FIRST_LETTER = 0x1F, 0x10, 0x20, 48


def region_runs(regions: NDArray[np.integer[Any]]) -> list[list[int]]:
    """Return the run lengths of each region as a mask of the whole map.

    Args:
        regions: (height, width), regions numbered from 0, negative = none.
    """
    flat = regions.ravel(order="F")
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    owner = flat[starts]
    order = np.argsort(owner, kind="stable")
    order = order[owner[order] >= 0]
    found: list[list[int]] = [[] for _ in range(int(regions.max(initial=-1)) + 1)]
    reached = [0] * len(found)
    for region, start, length in zip(*(values[order].tolist() for values in (owner, starts, lengths)), strict=True):
        found[region] += [start - reached[region], length]
        reached[region] = start + length
    for region, end in enumerate(reached):
        if end < flat.size:
            found[region].append(flat.size - end)
    return found


def compressed(runs: Sequence[int]) -> str:
    """Write run lengths as text: from the fourth on as differences to the last but one, five bits a letter."""
    letters = []
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        while True:
            bits, value = value & BITS, value >> 5
            more = value != (-1 if bits & SIGN else 0)
            letters.append(chr((bits | MORE if more else bits) + FIRST_LETTER))
            if not more:
                break
    return "".join(letters)
