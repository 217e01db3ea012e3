"""Measure the cost of a stage on a small part of its images, for `--dry-run`.

Images are decoded whole, since most formats cannot be decoded in part, but only a few of them; work is done on about
a megapixel, however many and large the images are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box
from unsegcli.dataflow.dataset import Unit, Window, images_of, pixels_at_once, source_pixels
from unsegcli.errors import DataError

if TYPE_CHECKING:
    from unsegcli.dataflow.runner import Result

IMAGES_TRIED = 3
PIXELS_DECODED = 50_000_000  # in all; more than one image is only decoded if all of them have fewer
PIXELS_WORKED_ON = 1_000_000  # in all
PIXELS_TO_WARM_UP = 4096
LOADED_BY_READING = 1_000_000  # pixels; beside decoding a larger image, loading the decoder takes no time


@dataclass(frozen=True)
class Cost:
    """What the images tried would cost whole, in one process."""

    images: int
    pixels: int  # of the source images
    seconds: float
    stored_bytes: float


def measured(units: Sequence[Unit], work: Callable[[Window], Result]) -> Cost:
    """Measure a few images; unreadable ones cost nothing."""
    tried = _tried(units)
    if pixels_at_once(tried[0]) <= LOADED_BY_READING:
        with suppress(DataError):
            tried[0].windows()  # the decoder is loaded before anything is timed
    seconds = stored = 0.0
    for unit in tried:
        with suppress(DataError):
            one = _measured(unit, work, PIXELS_WORKED_ON // len(tried))
            seconds, stored = seconds + one.seconds, stored + one.stored_bytes
    return Cost(images_of(tried), sum(map(source_pixels, tried)), seconds, stored)


def part_of(window: Window, pixels: int) -> Window:
    """Return the middle of a window, about `pixels` large, as a window of its own; a smaller window as it is."""
    height, width = window.box.height, window.box.width
    if height * width <= pixels:
        return window
    rows = min(height, pixels, max(1, math.isqrt(pixels * height // width)))
    columns = min(width, pixels // rows)
    top, left = (height - rows) // 2, (width - columns) // 2
    inside = Box(top, left, rows, columns).slices
    part = replace(
        window,
        dense=_cells_of(window, top, left, rows, columns),
        box=Box(window.box.top + top, window.box.left + left, rows, columns),
        pixels=np.ascontiguousarray(window.pixels[inside]),
        valid=None if window.valid is None else np.ascontiguousarray(window.valid[inside]),
        share=window.share * rows * columns / (height * width),
    )
    return part if window.regions is None else _with_regions(part, window, inside)


def _cells_of(window: Window, top: int, left: int, rows: int, columns: int) -> NDArray[np.floating] | None:
    """Return about the cells of a part of a window, enough to cover it."""
    if window.dense is None or window.cell is None:
        return window.dense
    height, width = window.cell
    first_row, first_column = int(top / height), int(left / width)
    last_row, last_column = first_row + math.ceil(rows / height), first_column + math.ceil(columns / width)
    return window.dense[first_row:last_row, first_column:last_column]


def _with_regions(part: Window, whole: Window, inside: tuple[slice, slice]) -> Window:
    """Add the superpixels of the part, numbered from 0, and their features."""
    assert whole.regions is not None
    regions = whole.regions[inside]
    void = np.iinfo(regions.dtype).max
    kept, numbers = np.unique(regions, return_inverse=True)
    numbers = numbers.reshape(regions.shape).astype(regions.dtype)
    features = None if whole.features is None else whole.features[kept[kept != void]]
    return replace(part, regions=np.where(regions == void, regions, numbers), features=features)


def _tried(units: Sequence[Unit]) -> list[Unit]:
    spaced = list(units[:: max(1, len(units) // IMAGES_TRIED)][:IMAGES_TRIED])
    return spaced if sum(map(pixels_at_once, spaced)) <= PIXELS_DECODED else spaced[:1]


def _measured(unit: Unit, work: Callable[[Window], Result], pixels: int) -> Cost:
    """Read one image, work on windows of at most so many pixels, and extrapolate to all of its pixels."""
    started = time.monotonic()
    windows = list(unit.windows())
    read = time.monotonic() - started
    areas = [window.box.height * window.box.width for window in windows]
    count = min(len(windows), max(1, pixels // max(areas)))
    chosen = [part_of(windows[index * len(windows) // count], pixels // count) for index in range(count)]
    work(part_of(chosen[0], PIXELS_TO_WARM_UP))  # imports are not timed
    started = time.monotonic()
    results = [work(part) for part in chosen]
    worked = time.monotonic() - started
    factor = sum(areas) / sum(part.box.height * part.box.width for part in chosen)
    stored = sum(encoded.stored_bytes for result in results for encoded in result.datasets.values())
    return Cost(1, source_pixels(unit), read + worked * factor, stored * factor)
