"""Superpixels beside the segments of LargeScaleMeanShift of the Orfeo Toolbox, at the same number, on one raster.

    python tests/benchmarks/run.py otb
    UNSEG_SIDE=5000 UNSEG_RANGES=40 python tests/benchmarks/run.py otb          another size, other range radii
    UNSEG_LABELLED=image.tif:labels.tif python tests/benchmarks/run.py otb      a raster with labels, 255 = ignore

Needs rasterio, and the program `otbcli_LargeScaleMeanShift` (in Debian: otb-bin), which has its defaults but for the
range radius. On a raster with labels it also measures the accuracy of a map that gives each segment its most frequent
class.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_common import UNSEG, Line, peaks_of
from bench_raster import write_raster
from numpy.typing import NDArray

from unsegcli import store

PROGRAM = "otbcli_LargeScaleMeanShift"
SIDE, QUICK_SIDE = 2000, 500
RANGES = "15"  # radii in the range of values; 15 is the default of the program
CLASSES = "6"
IGNORED = 255
GDAL_COPY = ["gdal_translate", "-q", "-of", "COG", "-co", "COMPRESS=DEFLATE"]


@dataclass(frozen=True)
class Taken:
    """What a command took."""

    cpu: float  # seconds
    megabytes: float  # sum of the peaks of its processes


def measure(folder: Path, quick: bool) -> list[Line]:
    if not shutil.which(PROGRAM):
        return [Line(f"skipped: {PROGRAM} is not installed (in Debian: otb-bin)", "-")]
    image, labels = _raster(folder, quick)
    _taken([UNSEG, "superpixels", str(image), "--dry-run"], folder)  # the first run compiles
    lines = []
    for radius in os.environ.get("UNSEG_RANGES", RANGES).split(","):
        lines += _beside(folder, image, labels, radius)
    return [*lines, *_others(folder, image)]


def _raster(folder: Path, quick: bool) -> tuple[Path, NDArray[np.uint8] | None]:
    """The raster, and its labels if it has some."""
    import rasterio

    given = os.environ.get("UNSEG_LABELLED")
    if not given:
        side = int(os.environ.get("UNSEG_SIDE", QUICK_SIDE if quick else SIDE))
        return write_raster(folder / "raster.tif", side), None
    image, labels = (Path(name).absolute() for name in given.split(":"))
    with rasterio.open(labels) as file:
        return image, file.read(1)


def _beside(folder: Path, image: Path, labels: NDArray[np.uint8] | None, radius: str) -> Iterator[Line]:
    import rasterio

    tiles = ["-tilesizex", "500", "-tilesizey", "500", "-ranger", radius]
    theirs = _taken([PROGRAM, "-in", str(image), "-mode", "raster", "-mode.raster.out", "theirs.tif", *tiles], folder)
    with rasterio.open(folder / "theirs.tif") as file:
        segments = file.read(1)
    count = len(np.unique(segments))
    more = ["--segments", str(count), "--patch", str(max(segments.shape)), "-o", "ours.h5"]
    ours = _taken([UNSEG, "superpixels", str(image), *more, "--workers", "1"], folder)
    with store.open_artifact(folder / "ours.h5") as artifact:
        superpixels = artifact.read("superpixels", 0)
    what = f"{segments.shape[0]:,} x {segments.shape[1]:,} pixels, range radius {radius}"
    yield Line(f"segments, {what}", f"{count:,}")
    for name, taken, found in (("LargeScaleMeanShift", theirs, segments), ("unseg superpixels", ours, superpixels)):
        yield from _lines(f"{name}, {what}", taken, segments.size)
        if labels is not None:
            yield Line(f"achievable accuracy, {name}, {what}", f"{_achievable(found, labels):.4f}")


def _others(folder: Path, image: Path) -> Iterator[Line]:
    """What gives the superpixels a class, and a copy of the raster."""
    with store.open_artifact(folder / "ours.h5") as artifact:
        pixels = artifact.read("superpixels", 0).size
    clustered = [UNSEG, "cluster", "ours.h5", "--classes", CLASSES, "-o", "map.h5", "--workers", "1"]
    yield from _lines("unseg cluster, which LargeScaleMeanShift leaves to others", _taken(clustered, folder), pixels)
    if shutil.which(GDAL_COPY[0]):
        yield from _lines("GDAL's copy of the raster", _taken([*GDAL_COPY, str(image), "copy.tif"], folder), pixels)


def _lines(what: str, taken: Taken, pixels: int) -> Iterator[Line]:
    yield Line(f"CPU seconds per megapixel, {what}", f"{taken.cpu / (pixels / 1e6):.2f}")
    yield Line(f"peak memory, {what}, MB", f"{taken.megabytes:,.0f}")


def _taken(command: Sequence[str], folder: Path) -> Taken:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = peaks_of(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(cpu, (peaks.parent + sum(peaks.workers)) / 1e6)


def _achievable(segments: NDArray[np.integer], labels: NDArray[np.uint8]) -> float:
    """Share of labelled pixels that have the most frequent class of their segment."""
    scored = labels != IGNORED
    _, numbers = np.unique(segments[scored], return_inverse=True)
    classes = int(labels[scored].max()) + 1
    counts = np.bincount(numbers * classes + labels[scored], minlength=(numbers.max() + 1) * classes)
    return float(counts.reshape(-1, classes).max(axis=1).sum() / scored.sum())
