"""CPU seconds of outlines of many parts, beside the same by loops in Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import outlines_reference
from bench_common import Line
from scipy.ndimage import gaussian_filter

from unsegcli.core import border_lines, outlines
from unsegcli.core.outlines import Polygon
from unsegcli.core.superpixels.regions import RegionMap, components

SIDE, CLASSES, BLUR, ROUNDS = 2000, 5, 3.75, 3
FASTER = 3.0


def measure(folder: Path, quick: bool) -> list[Line]:
    """Blurred noise; both sides in turns."""
    del folder
    parts = parts_of(SIDE // 4 if quick else SIDE)
    outlines.polygons(parts[:40, :40])  # compiled
    whole, held = cpu_of(outlines.polygons, parts)
    border_lines.AREA_ERROR = 1e9  # as the reference
    ratios, seconds = [], []
    for _ in range(1 if quick else ROUNDS):
        ours, found = cpu_of(outlines.polygons, parts)
        slow, wanted = cpu_of(outlines_reference.polygons, parts)
        ratios.append(slow / ours)
        seconds.append(f"{slow:.1f}/{ours:.1f}")
    ratio = float(np.median(ratios))
    what = f"{len(found):,} parts of {parts.shape[0]} x {parts.shape[1]} pixels"
    return [
        Line(f"outlines of {what}, CPU s ({points_of(held):,} points)", f"{whole:.2f}"),
        Line(f"loops in Python / ours ({', '.join(seconds)})", f"{ratio:.1f}", f"> {FASTER:.0f}", ratio > FASTER),
        Line("the same outlines", str(equal(found, wanted)), "True", equal(found, wanted)),
    ]


def parts_of(side: int) -> RegionMap:
    """Connected parts of classes of equal area."""
    values = gaussian_filter(np.random.default_rng(0).normal(size=(side, side)), BLUR)
    limits = np.quantile(values, np.linspace(0, 1, CLASSES + 1)[1:-1])
    return components(np.digitize(values, limits))


def cpu_of(work: Callable[[RegionMap], list[Polygon]], parts: RegionMap) -> tuple[float, list[Polygon]]:
    """Return the CPU seconds of a function and its result."""
    start = time.process_time()
    found = work(parts)
    return time.process_time() - start, found


def points_of(found: list[Polygon]) -> int:
    """Count the points of all rings."""
    return sum(len(ring) for polygon in found for ring in polygon)


def equal(found: list[Polygon], wanted: list[Polygon]) -> bool:
    """Return whether all rings are the same, point by point."""
    return all(
        len(one) == len(other) and all(map(np.array_equal, one, other))
        for one, other in zip(found, wanted, strict=True)
    )
