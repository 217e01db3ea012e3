"""Object masks by inpainting error maximisation: beside the straightforward structure, and the memory it takes."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_common import UNSEG, Line, cost_of, listed, median, peaks_of, photographs, write_photographs
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.saliency.contour import Ascent, ascend, prepare
from unsegcli.core.saliency.iem import Inpainter, centred_square, judge, problem_of

SIDE, COUNT, THREADS, WORKERS = 128, 16, 2, 2
ITERATIONS, SQUARE, DIVERSITY = 150, 78 / 128, 1e-3  # of the published program
RATIO, EQUAL, MEMORY, FLAT = 100.0, 0.995, 1e9, 1.10
ENDINGS = {".jpg", ".jpeg", ".png"}
OURS_AT_ONCE = 20  # times that ours does the same images in one measurement, which would be over too soon


def measure(folder: Path, quick: bool) -> list[Line]:
    """The structures in turns on each set of images, then the whole command."""
    lines = []
    for name, images in _sets():
        lines += _beside_reference(name, images[: 4 if quick else COUNT], 1 if quick else 3)
    return lines + _command(folder, quick)


@dataclass(frozen=True)
class Spent:
    wall: float
    cpu: float


def _sets() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Photographs that are at hand; and evenly spread ones of each folder that UNSEG_IMAGES names."""
    yield "photographs of scikit-image", np.stack(list(photographs(COUNT, SIDE)))
    for name in filter(None, os.environ.get("UNSEG_IMAGES", "").split(os.pathsep)):
        files = sorted(path for path in Path(name).iterdir() if path.suffix.lower() in ENDINGS)
        chosen = files[:: max(1, len(files) // COUNT)][:COUNT]
        yield Path(name).resolve().parent.name, np.stack([_centre(path) for path in chosen])


def _centre(path: Path) -> NDArray[np.uint8]:
    """The centred square of an image, (SIDE, SIDE, 3)."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box))


def _beside_reference(name: str, images: NDArray[np.uint8], rounds: int) -> list[Line]:
    """Ratios are taken round by round, so that a slow minute weighs on both sides."""
    from iem_reference import masks_by_own_threads, masks_of

    start = centred_square(SIDE, SIDE, SQUARE)
    prepare()
    masks_of(images[:2], start, 2, THREADS)
    plain, reference, ours = [], [], []
    for _ in range(rounds):
        before = _clock()
        masks_by_own_threads(images, start, ITERATIONS, THREADS)
        plain.append(_since(before, len(images)))
        before = _clock()
        expected = masks_of(images, start, ITERATIONS, THREADS)
        reference.append(_since(before, len(images)))
        before = _clock()
        with ThreadPoolExecutor(THREADS) as pool:
            ascents = list(pool.map(lambda image: _parted(image, start), [*images] * OURS_AT_ONCE))
        ours.append(_since(before, len(ascents)))
    equal = [float((ascent.mask == mask).mean()) for ascent, mask in zip(ascents, expected, strict=False)]
    straight = [one.wall / other.wall for one, other in zip(plain, ours, strict=True)]
    ratios = [one.wall / other.wall for one, other in zip(reference, ours, strict=True)]
    cpu = [one.cpu / other.cpu for one, other in zip(reference, ours, strict=True)]
    what = f"{name}: {len(images)} images of {SIDE} x {SIDE}"
    steps = [ascent.steps for ascent in ascents[: len(images)]]
    return [
        Line(f"{what}, autograd of torch with its own threads, ms an image", _milliseconds(plain)),
        Line(f"{what}, autograd of torch, a part of the batch for each thread, ms an image", _milliseconds(reference)),
        Line(f"{what}, ours, ms an image", _milliseconds(ours)),
        Line(f"{what}, steps until nothing changes, mean and most", f"{np.mean(steps):.0f} {max(steps)}"),
        Line(
            f"{what}, wall time of autograd with its own threads / ours, on {THREADS} threads each",
            f"{median(straight):.0f} ({listed(straight, '.0f')})",
            f">= {RATIO:.0f}",
            median(straight) >= RATIO,
        ),
        Line(
            f"{what}, wall time of autograd with parts of the batch / ours",
            f"{median(ratios):.0f} ({listed(ratios, '.0f')})",
        ),
        Line(f"{what}, CPU time of autograd / ours", f"{median(cpu):.0f} ({listed(cpu, '.0f')})"),
        Line(
            f"{what}, share of equal pixels, mean (worst image: {min(equal):.4f})",
            f"{np.mean(equal):.4f}",
            f">= {EQUAL}",
            float(np.mean(equal)) >= EQUAL,
        ),
    ]


def _parted(image: NDArray[np.uint8], start: NDArray[np.bool_]) -> Ascent:
    """What `unseg iem` computes for an image."""
    problem = problem_of(image, None, Inpainter(), DIVERSITY)
    ascent = ascend(problem, start, ITERATIONS)
    judge(problem, ascent.mask)
    return ascent


def _command(folder: Path, quick: bool) -> list[Line]:
    few, many = (100, 400) if quick else (1000, 4000)
    write_photographs(folder / "few", few, SIDE)
    (folder / "many").mkdir()
    for number in range(many):
        (folder / "many" / f"{number:06d}.png").hardlink_to(folder / "few" / f"{number % few:04d}.png")
    totals, figures = [], []
    for name in ("few", "many"):
        peaks = peaks_of([UNSEG, "iem", name, "-o", f"{name}.h5", "--workers", str(WORKERS), "-q"], folder)
        # What lives for a moment only (a copy of the parent before it becomes another program) shares its memory.
        processes = [peaks.parent, *sorted(peaks.workers)[-WORKERS:]]
        totals.append(sum(processes))
        figures.append(listed([peak / 1e6 for peak in processes], ".0f"))
        (folder / f"{name}.h5").unlink()
    costs = [
        cost_of([UNSEG, "iem", "few", "-o", f"{number}.h5", "--workers", str(WORKERS), "-q"], folder)
        for number in "123"
    ]
    started = [cost_of([UNSEG, "iem", "few", "-o", "1.h5", "--limit", "1", "-q"], folder).wall for _ in range(3)]
    return [
        Line(
            f"unseg iem --workers {WORKERS}, {many:,} images of {SIDE} x {SIDE}, peaks of parent and workers, "
            f"sum in MB ({figures[1]})",
            f"{totals[1] / 1e6:.0f}",
            f"< {MEMORY / 1e6:.0f}",
            totals[1] < MEMORY,
        ),
        Line(
            f"the same, {many:,} / {few:,} images ({figures[0]} MB)",
            f"{totals[1] / totals[0]:.2f}",
            f"<= {FLAT:.2f}",
            totals[1] <= FLAT * totals[0],
        ),
        Line(
            f"unseg iem --workers {WORKERS}, {few:,} images, images a second with start and storing, three runs",
            listed([few / cost.wall for cost in costs], ".0f"),
        ),
        Line("the same, CPU ms an image", listed([1e3 * cost.cpu / few for cost in costs], ".1f")),
        Line("unseg iem of one image, seconds", listed(started, ".2f")),
    ]


def _clock() -> Spent:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Spent(time.perf_counter(), used.ru_utime + used.ru_stime)


def _since(before: Spent, images: int) -> Spent:
    """Seconds an image."""
    now = _clock()
    return Spent((now.wall - before.wall) / images, (now.cpu - before.cpu) / images)


def _milliseconds(spent: list[Spent]) -> str:
    return listed([1e3 * one.wall for one in spent], ".1f")
