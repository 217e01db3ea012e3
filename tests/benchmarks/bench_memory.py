"""Peak memory: bounded by the images in flight, not by the number of images."""

from __future__ import annotations

from pathlib import Path

from bench_common import UNSEG, Line, Peaks, listed, peaks_of, write_photographs

WORKER_TARGET = 300e6  # bytes
FLAT = 1.10  # the parent may grow by so much from 400 to 4,000 images
SMALL_SIDE = 256


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
