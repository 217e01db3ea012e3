"""A raster of 12,000 x 12,000 pixels and four bands to a map: memory of all processes, and time per megapixel.

    python tests/benchmarks/run.py raster
    UNSEG_SIDE=40000 python tests/benchmarks/run.py raster     another size
    UNSEG_TRAIN="--method iic --steps 20" python tests/benchmarks/run.py raster     and a training on its superpixels

Needs rasterio, and for 40,000 x 40,000 pixels 14 GB of disk. The raster is textured, has pixels without data at its
rim, and discs that cross its blocks and windows. Beside it, if it is installed, GDAL's own copy of it
(`gdal_translate -of COG`).
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_common import UNSEG, Line, cost_of, listed, peaks_of
from numpy.typing import NDArray

SIDE, QUICK_SIDE = 12_000, 5_000
BLOCK, PATTERN = 512, 2048  # the texture repeats after so many pixels, with another brightness
BANDS, CLASSES, WORKERS = 4, 6, 2
SMALL_DISCS, LARGE_DISCS = 40, 2  # a megapixel
GRAIN = 4  # steps of brightness, so that noise can be compressed
MEMORY_TARGET = 2e9  # bytes, of all processes together
GDAL_COPY = ["gdal_translate", "-q", "-of", "COG", "-co", "COMPRESS=DEFLATE"]
HUNDRED_GIGAPIXELS = 1e5  # megapixels
COMMANDS = (
    ("superpixels", "raster.tif", "-o", "sp.h5", "--workers", str(WORKERS)),
    ("cluster", "sp.h5", "--classes", str(CLASSES), "-o", "map.h5", "--workers", str(WORKERS)),
    ("export", "map.h5", "--to", "geotiff,csv", "-o", "maps", "--workers", str(WORKERS)),
)
PAGES = tuple(("visualize", file, "-o", f"page-of-{file}", "--workers", "1") for file in ("sp.h5", "map.h5"))


class Measured(NamedTuple):
    """What a command took."""

    peaks: tuple[int, ...]  # of its processes, in bytes
    together: int  # of those that ran at the same time
    cpu: float  # seconds
    wall: float


def measure(folder: Path, quick: bool) -> list[Line]:
    """Sum the peaks (VmHWM) of processes that run at the same time: no less than what they had together."""
    side = int(os.environ.get("UNSEG_SIDE", QUICK_SIDE if quick else SIDE))
    megapixels, path = side**2 / 1e6, write_raster(folder / "raster.tif", side)
    lines = [Line("size of the raster, MB", f"{path.stat().st_size / 1e6:,.0f}")]
    if shutil.which(GDAL_COPY[0]):
        copied = cost_of([*GDAL_COPY, path.name, "copy.tif"], folder)
        (folder / "copy.tif").unlink()
        lines.append(Line("CPU seconds per megapixel, GDAL's own copy", f"{copied.cpu / megapixels:.3f}"))
    training = os.environ.get("UNSEG_TRAIN")
    more = [("train", "sp.h5", "-o", "model.h5", *shlex.split(training))] if training else []
    found = []
    for command in (COMMANDS[0], *more, *COMMANDS[1:]):
        found.append(_measured(command, folder))
        lines += _lines(" ".join(command), found[-1], side)
    for page in PAGES:
        lines += _lines(" ".join(page), _measured(page, folder), side)
    hours = sum(one.cpu for one in found) / WORKERS / megapixels * HUNDRED_GIGAPIXELS / 3600
    return [*lines, Line(f"hours for a hundred gigapixels at this speed on {WORKERS} idle cores", f"{hours:,.0f}")]


def _measured(command: Sequence[str], folder: Path) -> Measured:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = peaks_of([UNSEG, *command], folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured((peaks.parent, *peaks.workers), peaks.together, cpu, peaks.wall)


def _lines(what: str, found: Measured, side: int) -> list[Line]:
    held = found.together < MEMORY_TARGET
    listing, target = listed([peak / 1e6 for peak in found.peaks], ".0f"), f"< {MEMORY_TARGET / 1e6:,.0f}"
    where = f"{what}, {side:,} x {side:,}"
    return [
        Line(
            f"memory of all processes together, MB (peaks of each: {listing}): {where}",
            f"{found.together / 1e6:,.0f}",
            target,
            held,
        ),
        Line(f"CPU seconds per megapixel: {where}", f"{found.cpu / (side**2 / 1e6):.3f}"),
        Line(f"wall seconds: {where}", f"{found.wall:,.0f}"),
    ]


def write_raster(path: Path, side: int, seed: int = 0) -> Path:
    """Write a tiled GeoTIFF (side, side, BANDS), a row of blocks after the other."""
    import rasterio
    from rasterio.transform import Affine

    random = np.random.default_rng(seed)
    pattern, large = _pattern(random), _discs(random, LARGE_DISCS, side, 60)
    options = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "zstd"}
    options |= {"zstd_level": 1, "bigtiff": "if_safer"}
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "nodata": 0}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", height=side, width=side, count=BANDS, dtype="uint8", **options, **place) as file:
        for top in range(0, side, BLOCK):
            rows = min(BLOCK, side - top)
            file.write(_stripe(pattern, large, top, rows, side), window=((top, top + rows), (0, side)))
    return path


def _pattern(random: np.random.Generator) -> NDArray[np.int16]:
    """Return a texture with discs (BANDS, PATTERN, PATTERN) that fits to itself at its borders."""
    down, across = (np.arange(PATTERN) * 2 * np.pi / PATTERN for _ in range(2))
    ground = 90 + 30 * np.sin(7 * down[:, None]) * np.cos(5 * across[None, :])
    found = np.repeat(ground[None], BANDS, axis=0)
    for row, column, radius, *colour in _discs(random, SMALL_DISCS, PATTERN, 6):
        rows = np.arange(int(row - radius), int(row + radius) + 2)
        columns = np.arange(int(column - radius), int(column + radius) + 2)
        inside = (rows[:, None] - row) ** 2 + (columns[None, :] - column) ** 2 <= radius**2
        grid = np.ix_(range(BANDS), rows % PATTERN, columns % PATTERN)
        found[grid] = np.where(inside, np.array(colour)[:, None, None], found[grid])
    noised = found + random.normal(0, 8, found.shape)
    return (np.round(noised / GRAIN) * GRAIN).astype(np.int16)


def _discs(random: np.random.Generator, count: float, side: int, least: float) -> NDArray[np.float64]:
    """Rows of centre row, centre column, radius, and a colour for each band."""
    number = round(count * side**2 / 1e6)
    centres = random.uniform(0, side, (number, 2))
    radii = least * (1 + random.pareto(1.5, (number, 1)).clip(0, 20))
    return np.hstack([centres, radii, random.uniform(40, 220, (number, BANDS))])


def _stripe(
    pattern: NDArray[np.int16], large: NDArray[np.float64], top: int, rows: int, side: int
) -> NDArray[np.uint8]:
    down, across = np.arange(top, top + rows)[:, None], np.arange(side)[None, :]
    repeats = np.tile(pattern[:, down[:, 0] % PATTERN], (1, 1, -(-side // PATTERN)))[:, :, :side]
    brightness = (20 * np.sin(down / 3110) * np.cos(across / 2570)).astype(np.int16)
    near = large[(large[:, 0] + large[:, 2] >= top) & (large[:, 0] - large[:, 2] < top + rows)]
    for row, column, radius, *colour in near:
        left, right = max(0, int(column - radius)), min(side, int(column + radius) + 2)
        inside = (down - row) ** 2 + (across[:, left:right] - column) ** 2 <= radius**2
        part = repeats[:, :, left:right]
        part[:, inside] = part[:, inside] // 4 + np.array(colour, np.int16)[:, None] * 3 // 4
    pixels = (repeats + brightness // GRAIN * GRAIN).clip(1, 255).astype(np.uint8)
    pixels[:, (down + across < side // 10) | (down + across > 2 * side - side // 10)] = 0
    return pixels
