"""Peak memory: bounded by the images in flight, not by the number of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import UNSEG, Line, Peaks, listed, peaks_of, write_photographs

WORKER_TARGET = 300e6  # bytes
FLAT = 1.10  # the parent may grow by so much from 400 to 4,000 images
SMALL_SIDE = 256
DIMENSIONS, CELLS, CELL, REGIONS = 96, 8, 4, 200  # of the vectors of an image: 8 x 8 cells, or 200 superpixels


def measure(folder: Path, quick: bool) -> list[Line]:
    """VmHWM of every process, looked at twenty times a second."""
    count, side = (40, 512) if quick else (400, 512)
    full = _peaks(folder, write_photographs(folder / "full", count, side))
    few, many = (100, 400) if quick else (400, 4000)
    few_peaks = _peaks(folder, write_photographs(folder / "few", few, SMALL_SIDE))
    many_peaks = _peaks(folder, _repeated(folder / "few", folder / "many", many))
    growth = many_peaks.parent / few_peaks.parent
    worst = max(full.workers, default=full.parent)
    small = f"images of {SMALL_SIDE} x {SMALL_SIDE}"
    return [
        *_clustered(folder, quick),
        Line(
            f"peak of a worker, {count} images of {side} x {side}, MB (all: {listed(_mb(full), '.0f')})",
            f"{worst / 1e6:.0f}",
            f"< {WORKER_TARGET / 1e6:.0f}",
            worst < WORKER_TARGET,
        ),
        Line(f"peak of the parent, {count} images of {side} x {side}, MB", f"{full.parent / 1e6:.0f}"),
        Line(
            f"peak of the parent, {few:,} {small}, MB (workers: {listed(_mb(few_peaks), '.0f')})",
            f"{few_peaks.parent / 1e6:.0f}",
        ),
        Line(
            f"peak of the parent, {many:,} {small}, MB (workers: {listed(_mb(many_peaks), '.0f')})",
            f"{many_peaks.parent / 1e6:.0f}",
        ),
        Line(
            f"growth of the parent from {few:,} to {many:,} images, kB an image",
            f"{(many_peaks.parent - few_peaks.parent) / (many - few) / 1e3:.1f}",
        ),
        Line(f"parent, {many:,} / {few:,} images", f"{growth:.2f}", f"<= {FLAT:.2f}", growth <= FLAT),
    ]


def _peaks(folder: Path, images: Path) -> Peaks:
    output = folder / f"{images.name}.h5"
    peaks = peaks_of([UNSEG, "superpixels", str(images), "-o", str(output), "--workers", "2"], folder)
    output.unlink()
    return peaks


def _repeated(few: Path, many: Path, count: int) -> Path:
    """A folder of `count` files that are the same few again and again under other names."""
    many.mkdir()
    files = sorted(few.iterdir())
    for number in range(count):
        (many / f"{number:06d}.png").hardlink_to(files[number % len(files)])
    return many


def _mb(peaks: Peaks) -> list[float]:
    return [peak / 1e6 for peak in peaks.workers]


def _clustered(folder: Path, quick: bool) -> list[Line]:
    """Peaks of `unseg cluster` on files of features: the smaller file has as many vectors as are sampled at most."""
    lines = []
    for dense in (True, False):
        few = 500 if quick else (4000 if dense else 2500)
        many = 2 * few if quick else 20_000
        peaks = [_peak_of_cluster(folder, count, dense) for count in (few, many)]
        what = f"features, {'8 x 8 cells' if dense else '200 superpixels'} x {DIMENSIONS} dimensions"
        lines += [
            Line(f"peak of `cluster`, {count:,} images of {what}, MB", f"{peak / 1e6:.0f}")
            for count, peak in zip((few, many), peaks, strict=True)
        ]
        growth = peaks[1] / peaks[0]
        lines.append(Line(f"{many:,} / {few:,} images", f"{growth:.2f}", f"<= {FLAT:.2f}", quick or growth <= FLAT))
    return lines


def _peak_of_cluster(folder: Path, count: int, dense: bool) -> int:
    file, output = _features(folder / f"features-{count}.h5", count, dense), folder / "segmentation.h5"
    peaks = peaks_of([UNSEG, "cluster", str(file), "--classes", "24", "-o", str(output), "--workers", "1"], folder)
    file.unlink()
    output.unlink()
    return peaks.parent


def _features(path: Path, count: int, dense: bool) -> Path:
    """Write a file of random vectors of `count` small images, without pixels."""
    from unsegcli import store
    from unsegcli.dataflow.dataset import source_tables
    from unsegcli.images.working import Reading, Source

    side = CELLS * CELL
    sources = [
        Source(
            f"{n:06d}.png",
            str(path.parent / f"{n:06d}.png"),
            0,
            f"{n:064x}",
            1,
            1,
            side,
            side,
            1,
            ((0.0, 255.0),),
            bands=1,
        )
        for n in range(count)
    ]
    box, own = np.tile(np.array([0, 0, side, side], np.int32), (count, 1)), np.full(count, REGIONS, np.int64)
    tables: dict[str, Any] = {
        **source_tables(sources, path),
        "windows/source": np.arange(count, dtype=np.int32),
        "windows/box": box,
        "windows/grid": box[:, 2:],
        "skipped/name": [],
        "skipped/reason": [],
        **({"windows/cell": np.full((count, 2), float(CELL))} if dense else {"windows/superpixels": own}),
    }
    reading = Reading("auto", (), "none", 3, "bytes", None, (0.0, 100.0), "folder", (), 1.0, 10**9)
    with store.Target(path, "features", {"stage": "a benchmark", "images": count}).writing() as writer:
        for window in _windows(count, dense):
            writer.append([{name: store.encode(array) for name, array in window.items()}], None)
        writer.finish(tables, {"reading": reading.to_json()}, {})
    return path


def _windows(count: int, dense: bool) -> Iterator[dict[str, Any]]:
    random, side = np.random.default_rng(0), CELLS * CELL
    centres = random.normal(size=(24, DIMENSIONS)).astype(np.float32)
    shape = (CELLS, CELLS) if dense else (REGIONS,)
    regions = (np.arange(side * side) % REGIONS).astype(np.uint16).reshape(side, side)
    for _ in range(count):
        noise = random.standard_normal((*shape, DIMENSIONS), np.float32)
        vectors = (centres[random.integers(24, size=shape)] + noise).astype(np.float16)
        yield {"dense": vectors} if dense else {"features": vectors, "superpixels": regions}
