"""A raster of 12,000 x 12,000 pixels and four bands through `unseg superpixels`, and its page: memory and time.

    python tests/benchmarks/run.py raster

Needs rasterio. The raster is textured, has pixels without data at its rim, and discs that cross its blocks.
"""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
from bench_common import UNSEG, Line, listed, peaks_of
from numpy.typing import NDArray

SIDE, QUICK_SIDE = 12_000, 5_000
BLOCK = 512
BANDS = 4
DISCS_A_MEGAPIXEL = 40
MEMORY_TARGET = 2e9  # bytes, of all processes together


def measure(folder: Path, quick: bool) -> list[Line]:
    """Sum of the peaks of all processes, each from VmHWM: no less than what they had together at any time."""
    side = QUICK_SIDE if quick else SIDE
    path = write_raster(folder / "raster.tif", side)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks = peaks_of([UNSEG, "superpixels", str(path), "-o", "sp.h5", "--workers", "2", "-v"], folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    page = peaks_of([UNSEG, "visualize", "sp.h5", "-o", "page", "--workers", "1"], folder)
    total = peaks.parent + sum(peaks.workers)
    what = f"{side:,} x {side:,} pixels, {BANDS} bands"
    peak_list = listed([peak / 1e6 for peak in (peaks.parent, *peaks.workers)], ".0f")
    return [
        Line(
            f"peaks of all processes together, {what}, MB ({peak_list})",
            f"{total / 1e6:,.0f}",
            f"< {MEMORY_TARGET / 1e6:,.0f}",
            total < MEMORY_TARGET,
        ),
        Line(f"CPU seconds per megapixel, {what}", f"{seconds / (side**2 / 1e6):.2f}"),
        Line(f"wall seconds, {what}", f"{peaks.seconds:,.0f}"),
        Line(f"peak of the page of superpixels, {what}, MB", f"{page.parent / 1e6:,.0f}"),
        Line("size of the raster, and of the superpixels with pixels, MB", _sizes(path, folder / "sp.h5")),
    ]


def _sizes(*paths: Path) -> str:
    return ", ".join(f"{path.stat().st_size / 1e6:,.0f}" for path in paths)


def write_raster(path: Path, side: int, seed: int = 0) -> Path:
    """Write a tiled GeoTIFF (side, side, 4), a row of blocks after the other."""
    import rasterio
    from rasterio.transform import Affine

    random = np.random.default_rng(seed)
    discs = _discs(random, side)
    options = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate"}
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "nodata": 0}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", height=side, width=side, count=BANDS, dtype="uint8", **options, **place) as file:
        for top in range(0, side, BLOCK):
            rows = min(BLOCK, side - top)
            file.write(_stripe(random, discs, top, rows, side), window=((top, top + rows), (0, side)))
    return path


def _discs(random: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Rows of centre row, centre column, radius, and a colour for each band."""
    count = round(DISCS_A_MEGAPIXEL * side**2 / 1e6)
    centres = random.uniform(0, side, (count, 2))
    radii = 8 * random.pareto(1.5, (count, 1)).clip(0, 40) + 6
    return np.hstack([centres, radii, random.uniform(40, 220, (count, BANDS))])


def _stripe(
    random: np.random.Generator, discs: NDArray[np.float64], top: int, rows: int, side: int
) -> NDArray[np.uint8]:
    down, across = np.arange(top, top + rows)[:, None], np.arange(side)[None, :]
    ground = 90 + 30 * np.sin(down / 311) * np.cos(across / 257)
    stripe = np.repeat(ground[None].astype(np.float32), BANDS, axis=0)
    near = discs[(discs[:, 0] + discs[:, 2] >= top) & (discs[:, 0] - discs[:, 2] < top + rows)]
    for row, column, radius, *colour in near:
        left, right = max(0, int(column - radius)), min(side, int(column + radius) + 2)
        inside = (down - row) ** 2 + (across[:, left:right] - column) ** 2 <= radius**2
        stripe[:, :, left:right][:, inside] = np.array(colour, np.float32)[:, None]
    stripe += random.normal(0, 12, stripe.shape).astype(np.float32)
    pixels = stripe.clip(1, 255).astype(np.uint8)
    pixels[:, (down + across < side // 10) | (down + across > 2 * side - side // 10)] = 0
    return pixels
