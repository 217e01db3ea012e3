"""Estimate time, memory and disk of `unseg map` before it starts, from the sizes of its images.

The figures are of tests/benchmarks/bench_map.py. Time is scaled by a short trial of this machine, as busy as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from unsegcli import console
from unsegcli.core.geometry import boxes, working_grid
from unsegcli.dataflow.dataset import PIXELS_OF_A_BLOCK
from unsegcli.errors import DataError
from unsegcli.images.decode import broken_files_named, read_header
from unsegcli.images.find import ImageFile, find_images
from unsegcli.images.header import Header
from unsegcli.images.rasters import LARGE, lay_out
from unsegcli.parallel import available_cores
from unsegcli.params import Images, Inputs, Superpixels
from unsegcli.segmenters.cutting import compiles_first, pieces_of

HEADERS_READ = 1000  # of more images, evenly spaced ones
TRIAL_SIDE, TRIALS = 256, 60  # of the images of the trial, in pixels, and their number
TRIAL_SECONDS = 0.005  # of one, where the figures below were measured
COMPILING = 12.0  # seconds, on the first run
SEEN_SIDE, MOST_ENLARGED = 512, 4.0  # images are enlarged for a pretrained network, as by `unseg features`
BYTES_OF_PAGE = 30  # of memory for each pixel of the largest image that the page holds as a whole
BYTES_OF_CUTTING, BYTES_AND_BAND = 10, 5.5  # of memory for each pixel that is decoded at once


@dataclass(frozen=True)
class Sizes:
    """How many images there are, and how large."""

    images: int
    windows: int
    pixels: float  # working pixels, in all
    largest: int  # of one image
    bands: int  # at most
    seen: float  # pixels that a pretrained network sees, in all
    held: int  # pixels of the largest image, or part of a raster, that is decoded at once
    tasks: int  # images and windows of rasters that processes can share


@dataclass(frozen=True)
class StepCost:
    """What a step costs: seconds of one process, gigabytes of memory, and megabytes on disk."""

    start: float  # seconds
    image: float  # seconds for each image
    megapixel: float  # seconds
    memory: float  # GB
    memory_each: float = 0.0  # GB for each megapixel
    disk: float = 0.0  # MB for each megapixel
    disk_of_image: float = 0.0  # MB
    divides: bool = False  # whether several processes share the work
    sees: bool = False  # whether megapixels are those that a pretrained network sees


STEPS = {
    "superpixels": StepCost(2.5, 0.002, 0.18, 0.3, disk=3.0, divides=True),
    "train": StepCost(20.0, 0.02, 3.6, 1.1, 0.017),
    "vectors": StepCost(5.0, 0.045, 1.9, 0.9, 0.017, disk=0.3),
    "features": StepCost(5.0, 0.01, 0.9, 1.0, disk=2.0, divides=True, sees=True),
    "regions": StepCost(3.0, 0.001, 0.85, 0.3, 0.005, disk=0.3),
    "page": StepCost(2.0, 0.02, 0.15, 0.3, disk=0.4, disk_of_image=0.1, divides=True),
}


def sizes_of(inputs: Inputs) -> Sizes:
    """Read the headers of the images, or of some of them if there are many; unreadable ones do not count.

    Tiles of a mosaic are one image, and an error if they make none.
    """
    files = find_images(inputs.paths)[: inputs.limit]
    some = files[:: -(-len(files) // HEADERS_READ)]
    share = 1.0 if inputs.images.mosaic else len(files) / len(some)
    headers = [_surface(files)] if inputs.images.mosaic else list(_headers(some, inputs.images.axes))
    images = [one for header in headers for one in [_Image.of(header, inputs.images)] * header.pages]
    side = float(np.median([max(one.grid) for one in images])) if images else SEEN_SIDE
    factor = min(MOST_ENLARGED, max(1.0, SEEN_SIDE / min(side, inputs.images.patch or side)))
    pixels = sum(one.pixels for one in images) * share
    return Sizes(
        images=round(len(images) * share),
        windows=round(sum(one.windows for one in images) * share),
        pixels=pixels,
        largest=max((one.pixels for one in images), default=0),
        bands=max((one.bands for one in images), default=1),
        seen=pixels * factor**2,
        held=max((one.held for one in images), default=0),
        tasks=round(sum(one.windows if one.in_parts else 1 for one in images) * share),
    )


@dataclass(frozen=True)
class _Image:
    """A working image of which only the header was read."""

    grid: tuple[int, int]
    windows: int
    bands: int
    in_parts: bool  # a raster that is never decoded as a whole

    @staticmethod
    def of(header: Header, params: Images) -> _Image:
        grid = working_grid(*header.oriented, params.size, params.scale)
        bands = len(params.bands) or header.bands
        return _Image(grid, len(boxes(*grid, params.patch, params.stride)), bands, header.in_parts)

    @property
    def pixels(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def held(self) -> int:
        return min(self.pixels, PIXELS_OF_A_BLOCK // self.bands) if self.in_parts else self.pixels


def _headers(files: Sequence[ImageFile], axes: str) -> Iterator[Header]:
    for file in files:
        with suppress(DataError):
            yield read_header(file.path, axes)


def _surface(files: Sequence[ImageFile]) -> Header:
    """Return the header of the surface that tiles make."""
    with broken_files_named(files[0].path):
        return replace(lay_out([(file.name, file.path) for file in files])[1], in_parts=True)


def estimate(steps: Sequence[str], sizes: Sizes, workers: int) -> str:
    """Describe what the steps need on these images.

    Args:
        steps: names of STEPS, in order.
        sizes: of the images.
        workers: number of processes; 0 = one for each processor.
    """
    processes = max(1, min(workers or available_cores(), sizes.tasks))
    megapixels, slow = sizes.pixels / 1e6, slowness()
    seconds, disk = (0.0 if slow else COMPILING), 0.0
    memory = processes * (0.15 + sizes.held * (BYTES_OF_CUTTING + BYTES_AND_BAND * sizes.bands) / 1e9)
    for step in steps:
        cost = STEPS[step]
        worked = cost.image * sizes.windows + cost.megapixel * (sizes.seen / 1e6 if cost.sees else megapixels)
        seconds += (slow or 1.0) * (cost.start + worked / (processes if cost.divides else 1))
        memory = max(memory, (cost.memory + cost.memory_each * megapixels) * (processes if cost.divides else 1))
        if step == "page":
            drawn = min(processes, max(1, sizes.images))
            memory = max(memory, drawn * (cost.memory + min(sizes.largest, LARGE) * BYTES_OF_PAGE / 1e9))
        disk += cost.disk * megapixels + cost.disk_of_image * sizes.images
    return (
        f"{console.count_images(sizes.images)} of {megapixels:,.1f} megapixels: {_duration(seconds)}, "
        f"{memory:.1f} GB of memory and {max(1, disk):,.0f} MB on disk; estimated from the sizes of the images"
    )


def slowness() -> float:
    """Return how much slower this machine is now than the one of the figures, by cutting a small image a few times.

    0 = not known, since the first run compiles.
    """
    params = Superpixels()
    if compiles_first(params):
        return 0.0
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (TRIAL_SIDE // 16, TRIAL_SIDE // 16, 3)).repeat(16, axis=0).repeat(16, axis=1)
    pixels = np.clip(coarse + draws.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)
    pieces_of(pixels, None, params)  # libraries are loaded
    started = time.monotonic()
    for _ in range(TRIALS):
        pieces_of(pixels, None, params)
    return (time.monotonic() - started) / TRIALS / TRIAL_SECONDS


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} seconds"
    minutes = seconds / 60
    return f"about {minutes:.0f} minutes" if minutes < 90 else f"about {minutes / 60:.1f} hours"
