"""What a Dask cluster on this machine costs beside plain worker processes, for small images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bench_common import UNSEG, Cost, Line, cost_of, listed, median
from PIL import Image

FEW, MANY = 200, 1800  # images; what grows from one to the other is the cost of images, the rest that of the start
SIDE = 96
COMMAND = ("superpixels", "--algorithm", "felzenszwalb", "--quiet", "--force")  # a few milliseconds, and not compiled
WAYS = {"--workers 2": ("--workers", "2"), "--dask local:2": ("--dask", "local:2")}
DEAREST = 1.25  # CPU seconds of an image, as a multiple of those by plain processes
SLOWEST_START = 6.0  # CPU seconds more than plain processes


def measure(folder: Path, quick: bool) -> list[Line]:
    """Both ways in turns, with few images and with many."""
    many = FEW + 200 if quick else MANY
    for name, count in (("few", FEW), ("many", many)):
        _write(folder / name, count)
    each: dict[str, list[float]] = {way: [] for way in WAYS}
    starts: dict[str, list[float]] = {way: [] for way in WAYS}
    walls: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(1 if quick else 3):
        for way in WAYS:
            few, all_of_them = _cost(folder, "few", way), _cost(folder, "many", way)
            each[way].append((all_of_them.cpu - few.cpu) / (many - FEW))
            starts[way].append(few.cpu - FEW * each[way][-1])
            walls[way].append(all_of_them.wall)
    lines = [
        Line(
            f"{way}: CPU of an image of {SIDE} x {SIDE} (of {listed([1e3 * one for one in each[way]])} ms); "
            f"wall time of {many} images {median(walls[way]):.1f} s",
            f"{1e3 * median(each[way]):.2f} ms",
        )
        for way in WAYS
    ]
    plain, dask = (median(each[way]) for way in WAYS)
    started, started_dask = (median(starts[way]) for way in WAYS)
    return [
        *lines,
        Line(
            "CPU of an image by Dask beside plain processes",
            f"{dask / plain:.2f}",
            f"< {DEAREST}",
            dask < DEAREST * plain,
        ),
        Line(
            "CPU of the start by Dask, more than by plain processes",
            f"{started_dask - started:.1f} s",
            f"< {SLOWEST_START} s",
            started_dask - started < SLOWEST_START,
        ),
    ]


def _write(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        rough = np.random.default_rng(number).integers(0, 255, (SIDE // 8, SIDE // 8, 3)).astype(np.uint8)
        Image.fromarray(np.kron(rough, np.ones((8, 8, 1), np.uint8))).save(folder / f"{number:05}.png")


def _cost(folder: Path, images: str, way: str) -> Cost:
    output = folder / "superpixels.h5"
    output.unlink(missing_ok=True)
    return cost_of([UNSEG, *COMMAND, images, "-o", output.name, *WAYS[way]], folder)
