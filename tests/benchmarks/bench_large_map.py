"""A label map of 12,000 x 12,000 pixels through `unseg export --to geotiff,csv`: memory, and time per megapixel.

    python tests/benchmarks/run.py large_map
    UNSEG_SIDE=40000 python tests/benchmarks/run.py large_map     another size

Needs rasterio. The map has stripes that cross its windows, specks, and void at its rim. Beside it, if it is installed,
GDAL's own copy of the same file (`gdal_translate -of COG`).
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import UNSEG, Line, cost_of, peaks_of
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.geometry import Box, boxes
from unsegcli.dataflow.dataset import source_tables
from unsegcli.images.georeference import Georeference
from unsegcli.images.working import Reading, Source

SIDE, QUICK_SIDE = 12_000, 9_000  # both above the size from which a map is written by rows
WINDOW, CLASSES, SPECKS = 1024, 6, 0.01
MEMORY_TARGET = 2e9  # bytes, of all processes together
GDAL_COPY = ["gdal_translate", "-q", "-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "OVERVIEW_RESAMPLING=MODE"]


def measure(folder: Path, quick: bool) -> list[Line]:
    side = int(os.environ.get("UNSEG_SIDE", QUICK_SIDE if quick else SIDE))
    write_map(folder / "map.h5", side)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [UNSEG, "export", "map.h5", "--to", "geotiff,csv", "--workers", "1", "-o", "maps"]
    peaks = peaks_of(command, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total, megapixels = peaks.parent + sum(peaks.workers), side**2 / 1e6
    what = f"{side:,} x {side:,} pixels"
    lines = [
        Line(
            f"peaks of all processes together, {what}, MB",
            f"{total / 1e6:,.0f}",
            f"< {MEMORY_TARGET / 1e6:,.0f}",
            total < MEMORY_TARGET,
        ),
        Line(f"CPU seconds per megapixel, {what}", f"{seconds / megapixels:.3f}"),
        Line("size of the GeoTIFF, MB", f"{(folder / 'maps' / 'map.tif').stat().st_size / 1e6:,.0f}"),
    ]
    if shutil.which(GDAL_COPY[0]):
        copied = cost_of([*GDAL_COPY, "maps/map.tif", "copy.tif"], folder)
        lines.append(Line("the same by GDAL's own copy of the GeoTIFF", f"{copied.cpu / megapixels:.3f}"))
    return lines


def write_map(path: Path, side: int) -> None:
    """Write a segmentation of one image (side, side) in windows."""
    windows = boxes(side, side, WINDOW, WINDOW)
    place = Georeference("EPSG:32633", (0.5, 0.0, 400_000.0, 0.0, -0.5, 5_000_000.0))
    file = str(path.with_name("map.tif"))
    source = Source("map.tif", file, 0, "0" * 64, 1, 1, side, side, 1, ((0.0, 255.0),), place=place)
    tables: dict[str, Any] = {
        **source_tables([source], path),
        "windows/source": np.zeros(len(windows), np.int32),
        "windows/box": np.array(windows, np.int32),
        "windows/grid": np.full((len(windows), 2), side, np.int32),
        "skipped/name": [],
        "skipped/reason": [],
    }
    reading = Reading("auto", (), "none", 3, "bytes", None, (0.0, 100.0), "folder", (), 1.0, 10**10)
    recipe = {"stage": "a benchmark", "revision": 1, "parameters": {"side": side}, "inputs": {}}
    with store.Target(path, "segmentation", recipe).writing() as writer:
        for values in _maps(windows, side):
            writer.append([{"segmentation": store.encode(values)}], None)
        writer.finish(tables, {"role": "clusters", "clusters": CLASSES, "reading": reading.to_json()}, {})


def _maps(windows: list[Box], side: int) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    for box in windows:
        down = np.arange(box.top, box.bottom)[:, None]
        across = np.arange(box.left, box.right)[None, :]
        height = np.sin(down / 37) * np.cos(across / 53) + np.sin((down + 2 * across) / 211)
        values = ((height + 2) / 4 * CLASSES).astype(np.uint8) % CLASSES
        specks = random.random(values.shape) < SPECKS
        values[specks] = random.integers(0, CLASSES, int(specks.sum()))
        values[(down + across < side // 10) | (down + across > 2 * side - side // 10)] = 255
        yield values
