"""How fast label maps are scored: from arrays in memory beside numpy.bincount, and a data set from an artifact."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_common import UNSEG, Line, cost_of, median, peaks_of
from numpy.typing import NDArray
from PIL import Image

from unsegcli import store
from unsegcli.core.scoring.confusion import confusion

CLASSES = 27
SIDE = 2048
RATE_TARGET = 100  # million pixels a second
WALL_TARGET = 30.0  # seconds, for 10,000 maps of 256 x 256


def measure(folder: Path, quick: bool) -> list[Line]:
    """CPU seconds in memory; wall seconds of `unseg evaluate` from an artifact, and its memory."""
    return [*_in_memory(3 if quick else 15), *_from_artifact(folder, (200, 1000) if quick else (1000, 10_000))]


def _in_memory(repeats: int) -> list[Line]:
    random = np.random.default_rng(0)
    predicted = random.integers(0, CLASSES, (SIDE, SIDE)).astype(np.uint8)
    truth = random.integers(-1, CLASSES, (SIDE, SIDE)).astype(np.int16)
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: confusion(predicted, truth, CLASSES, CLASSES),
        "numpy.bincount of one int64 code": lambda: _bincount(predicted, truth),
    }
    if importlib.util.find_spec("torchmetrics"):
        sides["torchmetrics"] = _torchmetrics(predicted, truth)
    seconds = {name: [_cpu(side) for _ in range(repeats)] for name, side in sides.items()}
    rates = {name: SIDE * SIDE / median(times) / 1e6 for name, times in seconds.items()}
    lines = [
        Line(
            f"matrix of {CLASSES} x {CLASSES} from arrays in memory: million pixels in a CPU second",
            f"{rates['ours']:.0f}",
            f">= {RATE_TARGET}",
            rates["ours"] >= RATE_TARGET,
        )
    ]
    for name in list(sides)[1:]:
        lines.append(Line(f"the same by {name}: million pixels in a CPU second", f"{rates[name]:.0f}"))
        lines.append(Line(f"ours over {name}", f"{rates['ours'] / rates[name]:.2f}x"))
    return lines


def _bincount(predicted: NDArray[np.uint8], truth: NDArray[np.int16]) -> NDArray[np.int64]:
    known = truth >= 0
    code = predicted[known].astype(np.int64) * CLASSES + truth[known]
    return np.bincount(code, minlength=CLASSES * CLASSES)


def _torchmetrics(predicted: NDArray[np.uint8], truth: NDArray[np.int16]) -> Callable[[], object]:
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    torch.set_num_threads(1)
    ours, theirs = torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))
    return lambda: multiclass_confusion_matrix(ours, theirs, CLASSES, ignore_index=-1)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _from_artifact(folder: Path, counts: tuple[int, int]) -> list[Line]:
    lines, parents = [], []
    for count in counts:
        home = folder / str(count)
        _data_set(home, count)
        command = [UNSEG, "evaluate", "segmentation.h5", "-o", "metrics.h5", "-q"]
        cost = cost_of(command, home)
        (home / "metrics.h5").unlink()
        peaks = peaks_of(command, home)
        parents.append(peaks.parent)
        asked = count == 10_000
        lines.append(
            Line(
                f"unseg evaluate, {count:,} label maps of 256 x 256 from an artifact, labels from PNG, 1000 bootstrap "
                f"replicates: wall seconds (CPU seconds {cost.cpu:.1f})",
                f"{cost.wall:.1f} s",
                f"< {WALL_TARGET:.0f} s" if asked else "",
                cost.wall < WALL_TARGET if asked else None,
            )
        )
    growth = (parents[1] - parents[0]) / (counts[1] - counts[0])
    lines.append(
        Line(
            f"peak memory of its parent at {counts[0]:,} and at {counts[1]:,} images, MB; bytes an image",
            f"{parents[0] / 1e6:.0f} {parents[1] / 1e6:.0f}; {growth:,.0f}",
        )
    )
    return lines


def _data_set(home: Path, count: int) -> None:
    """A segmentation and labels: 20 different maps, again and again under other names."""
    (home / "data" / "labels").mkdir(parents=True)
    (home / "data" / "images").mkdir()
    random = np.random.default_rng(1)
    coarse = random.integers(0, CLASSES, (20, 16, 16)).astype(np.uint8)
    maps = coarse.repeat(16, axis=1).repeat(16, axis=2)
    for number in range(20):
        noised = np.where(random.random((256, 256)) < 0.1, 255, maps[number]).astype(np.uint8)
        Image.fromarray(noised).save(home / "data" / "labels" / f"{number:06d}.png")
    for number in range(20, count):
        (home / "data" / "labels" / f"{number:06d}.png").symlink_to(f"{number % 20:06d}.png")
    legend = [f'[[class]]\nname = "c{n}"\nfrom = [{n}]\n' for n in range(CLASSES)]
    (home / "data" / "classes.toml").write_text("ignore = [255]\n" + "".join(legend))
    _write_segmentation(home / "segmentation.h5", maps, count)


def _write_segmentation(path: Path, maps: NDArray[np.uint8], count: int) -> None:
    encoded = [store.encode(one) for one in maps]
    tables = {
        "sources/name": [f"{number:06d}.png" for number in range(count)],
        "sources/path": [f"data/images/{number:06d}.png" for number in range(count)],
        "sources/page": np.zeros(count, np.int32),
        "sources/digest": [f"{number:064x}" for number in range(count)],
        "sources/bytes": np.ones(count, np.int64),
        "sources/modified": np.ones(count, np.int64),
        "sources/size": np.full((count, 2), 256, np.int32),
        "sources/orientation": np.ones(count, np.uint8),
        "sources/bands": np.full(count, 3, np.int32),
        "sources/scaling": np.zeros((count, 3, 2)),
        "windows/source": np.arange(count, dtype=np.int32),
        "windows/box": np.tile(np.array([0, 0, 256, 256], np.int32), (count, 1)),
        "windows/grid": np.full((count, 2), 256, np.int32),
        "skipped/name": [],
        "skipped/reason": [],
    }
    target = store.Target(path, "segmentation", {"stage": "a benchmark"})
    with target.writing() as writer:
        for number in range(count):
            writer.append([{"segmentation": encoded[number % len(encoded)]}], None)
        writer.finish(tables, {"role": "clusters", "clusters": CLASSES, "reading": "{}"}, {})


if __name__ == "__main__":
    sys.exit("run it by run.py")
