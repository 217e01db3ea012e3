"""What `--dry-run` should promise: peak memory of a process by the size of its image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bench_common import UNSEG, Line, peaks_of, photographs
from numpy.typing import NDArray


def measure(folder: Path, quick: bool) -> list[Line]:
    """One image in one process, which holds the image, its superpixels and the file that is written."""
    sides = (1000, 2000) if quick else (1000, 2000, 4000, 6000)
    peaks = {(side, bands): _peak(folder, side, bands) for bands in (1, 3, 4, 8) for side in sides}
    lines = [
        Line(f"peak of a process, one image of {side} x {side} x {bands}, MB", f"{peak / 1e6:.0f}")
        for (side, bands), peak in peaks.items()
    ]
    return [*lines, *_fits(peaks)]


def _peak(folder: Path, side: int, bands: int) -> int:
    image = folder / f"{side}x{bands}.npy"
    np.save(image, _mosaic(side, bands))
    command = [UNSEG, "superpixels", str(image), "-o", "out.h5", "--workers", "1", "--alpha", "band"]
    peak = peaks_of(command, folder).parent
    image.unlink()
    return peak


def _fits(peaks: dict[tuple[int, int], int]) -> list[Line]:
    """Three bands go through Lab and so have a line of their own; of other images the bands count."""
    lines = []
    for what, chosen in (("3 bands", (3,)), ("1, 4 and 8 bands", (1, 4, 8))):
        rows = [(side * side, side * side * bands, peak) for (side, bands), peak in peaks.items() if bands in chosen]
        pixels, values, peak = np.array(rows, float).T
        columns = [np.ones_like(pixels), pixels, values][: 2 if len(chosen) == 1 else 3]
        solution, worst = _fit(columns, peak)
        fixed, *each = solution
        terms = ", ".join(["fixed MB", "bytes a pixel", "bytes a value (pixel and band)"][: len(columns)])
        figures = ", ".join([f"{fixed / 1e6:.0f}", *(f"{value:.1f}" for value in each)])
        lines.append(Line(f"fit for {what}: {terms}; in brackets the worst error in MB", f"{figures} ({worst:.0f})"))
    return lines


def _fit(columns: list[NDArray[np.float64]], peak: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Least squares of relative errors, so that small images count as much as large ones; worst error in MB."""
    table = np.stack(columns, axis=1)
    solution = np.linalg.lstsq(table / peak[:, None], np.ones_like(peak), rcond=None)[0]
    return solution, float(np.abs(table @ solution - peak).max() / 1e6)


def _mosaic(side: int, bands: int) -> NDArray[np.uint8]:
    """A large image (side, side, bands) made of photographs."""
    tile = 500
    tiles = iter(photographs((side // tile) ** 2, tile))
    image = np.zeros((side, side, bands), np.uint8)
    for top in range(0, side, tile):
        for left in range(0, side, tile):
            photo = next(tiles)
            image[top : top + tile, left : left + tile] = photo[:, :, np.arange(bands) % 3]
    return image
