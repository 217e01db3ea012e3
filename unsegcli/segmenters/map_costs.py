"""Estimate time, memory and disk of `unseg map` before it starts, from the sizes of its images.

The figures are of tests/benchmarks/bench_map.py. Time is scaled by a short trial of this machine, as busy as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from unsegcli import console
from unsegcli.core.geometry import boxes, working_grid
from unsegcli.errors import DataError
from unsegcli.images.decode import read_header
from unsegcli.images.find import find_images
from unsegcli.parallel import available_cores
from unsegcli.params import Inputs, Superpixels
from unsegcli.segmenters.cutting import compiles_first, pieces_of

HEADERS_READ = 1000  # of more images, evenly spaced ones
TRIAL_SIDE = 256  # pixels
TRIAL_SECONDS = 0.05  # of the trial, where the figures below were measured
COMPILING = 12.0  # seconds, on the first run


@dataclass(frozen=True)
class Sizes:
    """How many images there are, and how large."""

    images: int
    windows: int
    pixels: float  # working pixels, in all
    largest: int  # of one image
    bands: int  # at most


@dataclass(frozen=True)
class Cost:
    """What a step costs: seconds of one process to start, and for each megapixel; memory and disk likewise."""

    start: float
    each: float
    memory: float = 0.3  # GB
    memory_each: float = 0.0  # GB for each megapixel of all images
    disk_each: float = 0.0  # MB for each megapixel
    divides: bool = False  # whether several processes share the work


STEPS = {
    "superpixels": Cost(2.0, 0.6, 0.25, 0.0, 3.0, divides=True),
    "train": Cost(20.0, 2.0, 0.9, 0.03, 0.1),
    "features": Cost(6.0, 3.0, 1.0, 0.0, 4.0, divides=True),
    "vectors": Cost(4.0, 2.5, 0.9, 0.02, 0.5),
    "regions": Cost(2.0, 1.0, 0.3, 0.01, 0.5, divides=True),
    "page": Cost(2.0, 1.0, 0.3, 0.0, 2.0, divides=True),
}


def sizes_of(inputs: Inputs) -> Sizes:
    """Read the headers of the images, or of some of them if there are many; unreadable ones do not count."""
    files = find_images(inputs.paths)[: inputs.limit]
    some = files[:: -(-len(files) // HEADERS_READ)]
    grids: list[tuple[int, int]] = []
    bands = 1
    for file in some:
        with suppress(DataError):
            header = read_header(file.path, inputs.images.axes)
            grids += [working_grid(*header.oriented, inputs.images.size, inputs.images.scale)] * header.pages
            bands = max(bands, len(inputs.images.bands) or header.bands)
    share, areas = len(files) / len(some), [height * width for height, width in grids]
    windows = sum(len(boxes(*grid, inputs.images.patch, inputs.images.stride)) for grid in grids)
    return Sizes(round(len(grids) * share), round(windows * share), sum(areas) * share, max(areas, default=0), bands)


def estimate(steps: Sequence[str], sizes: Sizes, workers: int) -> str:
    """Describe what the steps need on these images.

    Args:
        steps: names of STEPS, in order.
        sizes: of the images.
        workers: number of processes; 0 = one for each processor.
    """
    processes, megapixels = max(1, min(workers or available_cores(), sizes.images)), sizes.pixels / 1e6
    slow, seconds, memory, disk = slowness(), 0.0, 0.0, 0.0
    for step in steps:
        cost = STEPS[step]
        seconds += slow * (cost.start + cost.each * megapixels / (processes if cost.divides else 1))
        memory = max(memory, cost.memory + cost.memory_each * megapixels)
        disk += cost.disk_each * megapixels
    memory = max(memory, processes * (0.15 + sizes.largest * (10 + 5.5 * sizes.bands) / 1e9))
    return (
        f"{console.count_images(sizes.images)} of {megapixels:,.1f} megapixels: {_duration(seconds)}, "
        f"{memory:.1f} GB of memory and {disk:,.0f} MB on disk; estimated from the sizes of the images"
    )


def slowness() -> float:
    """Return how much slower this machine is now than the one of the figures, by cutting a small image."""
    params = Superpixels()
    if compiles_first(params):
        return 1.0
    draws = np.random.default_rng(0)
    image = draws.integers(0, 256, (TRIAL_SIDE // 16, TRIAL_SIDE // 16, 3)).repeat(16, axis=0).repeat(16, axis=1)
    pixels = np.clip(image + draws.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
    pieces_of(pixels, None, params)  # libraries are loaded
    started = time.monotonic()
    for _ in range(4):
        pieces_of(pixels, None, params)
    return (time.monotonic() - started) / 4 / TRIAL_SECONDS


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} seconds"
    minutes = seconds / 60
    return f"about {minutes:.0f} minutes" if minutes < 90 else f"about {minutes / 60:.1f} hours"
