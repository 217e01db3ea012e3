"""A label map of 12,000 x 12,000 pixels through `unseg export`: memory, and time per megapixel.

    python tests/benchmarks/run.py large_map
    UNSEG_SIDE=40000 python tests/benchmarks/run.py large_map     another size

Needs rasterio and pyogrio. The map has about 700 parts in a megapixel, as k-means on superpixels makes them, that cross
its windows, and void at its rim; another one has specks in one of a hundred pixels, too. Beside it, if they are
installed, GDAL's own copy of the GeoTIFF (`gdal_translate -of COG`), and its polygons (`gdal_polygonize.py`).
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
WINDOW, CLASSES, METRES = 1024, 6, 0.5
LATTICES = ((40, 0.94), (3, 0.06))  # distance in pixels, and share in the sum
RUNS = {  # share of specks: options
    0.0: ["--to geotiff,gpkg,csv", "--to geotiff,csv", "--to gpkg,csv --objects"],
    0.01: ["--to geotiff,gpkg,csv --sieve 20"],
}
MEMORY_TARGET = 2e9  # bytes, of all processes together
GDAL_COPY = ["gdal_translate", "-q", "-of", "COG", "-co", "COMPRESS=DEFLATE", "-co", "OVERVIEW_RESAMPLING=MODE"]
GDAL_POLYGONS = ["gdal_polygonize.py", "-q", "-of", "GPKG"]


def measure(folder: Path, quick: bool) -> list[Line]:
    side = int(os.environ.get("UNSEG_SIDE", QUICK_SIDE if quick else SIDE))
    lines = []
    for specks, wanted in RUNS.items():
        write_map(folder / "map.h5", side, specks)
        for options in wanted:
            lines += cost_line(folder, options, side, specks)
            lines += [] if "gpkg" not in options or specks else [package_line(folder)]
            lines += beside(folder, side) if options == RUNS[0.0][0] else []
            shutil.rmtree(folder / "maps")
        (folder / "map.h5").unlink()
    return lines


def cost_line(folder: Path, options: str, side: int, specks: float) -> list[Line]:
    """Memory and time of one export."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = peaks_of([UNSEG, "export", "map.h5", *options.split(), "--workers", "1", "-o", "maps"], folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = peaks.parent + sum(peaks.workers)
    what = f"{options}, {side:,} x {side:,} pixels{', with specks' if specks else ''}"
    return [
        Line(
            f"MB of all processes, {what}",
            f"{total / 1e6:,.0f}",
            f"< {MEMORY_TARGET / 1e6:,.0f}",
            total < MEMORY_TARGET,
        ),
        Line("  CPU seconds per megapixel", f"{seconds / (side**2 / 1e6):.3f}"),
    ]


def package_line(folder: Path) -> Line:
    """What the polygons are, and whether their areas add up."""
    import pyogrio

    file = folder / "maps" / "classes.gpkg"
    columns = pyogrio.raw.read(str(file), layer="classes", columns=["area_m2"], read_geometry=False)[3][0]
    counted = (folder / "maps" / "areas.csv").read_text().splitlines()
    names, total = (line.split(",") for line in (counted[0], counted[-1]))
    pixels = sum(
        int(cell) for name, cell in zip(names, total, strict=True) if name.endswith("pixels") and name[0] != "v"
    )
    right = abs(columns.sum() - pixels * METRES**2) < 1e-6 * pixels
    return Line("  polygons; their areas add up to those of pixels", f"{len(columns):,}; {right}", "True", bool(right))


def beside(folder: Path, side: int) -> list[Line]:
    """The same by GDAL: a copy of the GeoTIFF, and polygons of pixel sides, which are not simplified."""
    lines = []
    for what, command in (("copy of the GeoTIFF", GDAL_COPY), ("polygons", GDAL_POLYGONS)):
        if shutil.which(command[0]):
            cost = cost_of([*command, "maps/map.tif", "gdal.out"], folder)
            (folder / "gdal.out").unlink()
            lines.append(Line(f"  GDAL's own {what}, CPU seconds per megapixel", f"{cost.cpu / (side**2 / 1e6):.3f}"))
    return lines


def write_map(path: Path, side: int, specks: float) -> None:
    """Write a segmentation of one image (side, side) in windows; specks are a share of its pixels."""
    windows = boxes(side, side, WINDOW, WINDOW)
    place = Georeference("EPSG:32633", (0.5, 0.0, 400_000.0, 0.0, -0.5, 5_000_000.0))
    file = str(path.with_name("map.tif"))
    source = Source("map.tif", file, 0, "0" * 64, 1, 1, side, side, 1, ((0.0, 255.0),), bands=1, place=place)
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
        for values in _maps(windows, side, specks):
            writer.append([{"segmentation": store.encode(values)}], None)
        writer.finish(tables, {"role": "clusters", "clusters": CLASSES, "reading": reading.to_json()}, {})


def _maps(windows: list[Box], side: int, specks: float) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    lattices = [(step, share, random.random((side // step + 2,) * 2)) for step, share in LATTICES]
    for box in windows:
        down = np.arange(box.top, box.bottom)[:, None]
        across = np.arange(box.left, box.right)[None, :]
        height = sum(share * _between(values, down / step, across / step) for step, share, values in lattices)
        values = np.clip(height * CLASSES, 0, CLASSES - 1).astype(np.uint8)
        wrong = random.random(values.shape) < specks
        values[wrong] = random.integers(0, CLASSES, int(wrong.sum()))
        values[(down + across < side // 10) | (down + across > 2 * side - side // 10)] = 255
        yield values


def _between(values: NDArray[Any], down: NDArray[Any], across: NDArray[Any]) -> NDArray[Any]:
    """Return values of a lattice at places between its points."""
    row, column = down.astype(int), across.astype(int)
    below, right = down - row, across - column
    upper = values[row, column] * (1 - right) + values[row, column + 1] * right
    lower = values[row + 1, column] * (1 - right) + values[row + 1, column + 1] * right
    found: NDArray[Any] = upper * (1 - below) + lower * below
    return found
