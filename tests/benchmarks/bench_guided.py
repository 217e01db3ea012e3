"""CPU seconds of the guided filter over many maps, beside the filter written out for one map after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import Line, photographs
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from unsegcli.core.cells import highest_map
from unsegcli.core.guided import EPSILON, RADIUS, guide_of, guided

MAPS, SIDE, CELL = 24, 512, 16
FASTER = 4.0
CLOSE = 1e-5


def measure(folder: Path, quick: bool) -> list[Line]:
    """Random maps and a photograph, three times each."""
    del folder
    image = next(photographs(1, SIDE // 2 if quick else SIDE))
    height, width = image.shape[:2]
    random = np.random.default_rng(0)
    maps, guide = random.random((MAPS, height, width), np.float32), guide_of(image)
    guided(maps, guide)  # compiled
    ours, found = _timed(lambda: guided(maps, guide))
    plain, written_out = _timed(lambda: _written_out(maps, guide))
    apart = float(np.abs(found - written_out).max())
    cells = random.random((MAPS, height // CELL, width // CELL), np.float32)
    how: Any = ((CELL, CELL), np.ones(cells.shape[1:]), image, None, (height, width))
    what = f"{MAPS} maps of {height} x {width}"
    return [
        Line(f"guided filter, {what}, CPU s (one map after another: {plain:.2f})", f"{ours:.2f}"),
        Line("one map after another / ours", f"{plain / ours:.1f}", f"> {FASTER:.0f}", plain > FASTER * ours),
        Line("largest difference", f"{apart:.1g}", f"< {CLOSE:.0g}", apart < CLOSE),
        Line(
            f"label map from cells of {CELL} pixels, {what}, CPU s",
            f"{_timed(lambda: highest_map(cells, *how))[0]:.2f}",
        ),
    ]


def _timed(work: Callable[[], NDArray[Any]]) -> tuple[float, NDArray[Any]]:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return min(seconds), found


def _written_out(maps: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """He, Sun and Tang (2013), equations 19 to 21, each map by itself."""

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        sums: NDArray[Any] = uniform_filter(values, size, mode="constant")
        return sums / share

    size = (2 * RADIUS + 1, 2 * RADIUS + 1)
    share = uniform_filter(np.ones(guide.shape[:2]), size, mode="constant")
    bands = np.moveaxis(guide.astype(np.float64), 2, 0)
    means = np.stack([mean(band) for band in bands], -1)
    products = [[mean(one * other) for other in bands] for one in bands]
    systems = np.moveaxis(np.array(products), (0, 1), (2, 3)) - means[..., None] * means[..., None, :]
    systems += EPSILON * np.eye(len(bands))
    result = np.empty_like(maps)
    for number, values in enumerate(maps.astype(np.float64)):
        level = mean(values)
        together = np.stack([mean(band * values) for band in bands], -1) - means * level[..., None]
        slopes = np.linalg.solve(systems, together[..., None])[..., 0]
        offset = level - (slopes * means).sum(-1)
        result[number] = mean(offset) + sum(mean(slopes[..., band]) * bands[band] for band in range(len(bands)))
    return result
