"""Compares masks with those that the authors' own program made, for both readings of its weight of diversity.

    python tests/benchmarks/compare_iem.py REFERENCE IMAGES LABELS

REFERENCE holds masks (PNG, 0 and 255) of 128 x 128 pixels and objective.csv with the columns image,
objective_at_start, objective_at_iteration_150 and iou_255_ignored; IMAGES and LABELS hold files of the same names.
Our masks are made with the presets `flowers`, which is the published program, and `flowers-figures`. Objectives depend
on the weight, so they are compared for the first preset only. Not part of the tests: neither images nor masks are ours
to ship.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.saliency.contour import ascend
from unsegcli.core.saliency.iem import Inpainter, centred_square, judge, problem_of
from unsegcli.params import Iem
from unsegcli.presets import read_preset

SIDE, IGNORED = 128, 255
PUBLISHED, PRESETS = "flowers", ("flowers", "flowers-figures")


def main(reference: Path, images: Path, labels: Path) -> None:
    """Print how far masks and scores are apart for each preset, and objectives for the published one."""
    with (reference / "objective.csv").open() as file:
        rows = list(csv.DictReader(file))
    for preset in PRESETS:
        params = Iem(**read_preset("iem", preset))
        masks = {row["image"]: _mask(_image(images, row["image"]), params) for row in rows}
        print(f"--preset {preset}, diversity {params.diversity:g}, {len(rows)} images")
        _compare_masks(masks, reference, labels)
        if preset == PUBLISHED:
            _compare_objectives(rows, images, params)


def _compare_masks(masks: dict[str, NDArray[np.bool_]], reference: Path, labels: Path) -> None:
    theirs = {name: np.asarray(Image.open(reference / f"{name}.png")) > 0 for name in masks}
    truths = {name: np.asarray(Image.open(labels / f"{name}.png")) for name in masks}
    equal = [float((masks[name] == theirs[name]).mean()) for name in masks]
    overlap = [_iou(masks[name], theirs[name], np.ones((SIDE, SIDE), bool)) for name in masks]
    scores = [_score(masks, truths), _score(theirs, truths)]
    print(f"  images with every pixel equal               {equal.count(1.0)}")
    print(f"  share of equal pixels, mean and worst       {np.mean(equal):.6f} {min(equal):.6f}")
    print(f"  IoU of ours with theirs, mean and worst     {np.mean(overlap):.4f} {min(overlap):.4f}")
    print(f"  mean IoU with the labels, ours and theirs   {scores[0]:.4f} {scores[1]:.4f}")


def _compare_objectives(rows: list[dict[str, str]], images: Path, params: Iem) -> None:
    at_start, at_end, before_end = [], [], []
    start = centred_square(SIDE, SIDE, params.square)
    for row in rows:
        problem = problem_of(_image(images, row["image"]), None, _inpainter(params), params.diversity)
        published = float(row["objective_at_iteration_150"])
        at_start.append(judge(problem, start).objective - float(row["objective_at_start"]))
        for apart, iterations in ((at_end, params.iterations), (before_end, params.iterations - 1)):
            apart.append(judge(problem, ascend(problem, start, iterations).mask).objective - published)
    for what, apart in (("of the first mask", at_start), ("of the last", at_end), ("of the last but one", before_end)):
        print(f"  objective {what:<20} off by at most {np.abs(apart).max():.2g}")


def _mask(image: NDArray[np.uint8], params: Iem) -> NDArray[np.bool_]:
    problem = problem_of(image, None, _inpainter(params), params.diversity)
    return ascend(problem, centred_square(SIDE, SIDE, params.square), params.iterations).mask


def _inpainter(params: Iem) -> Inpainter:
    return Inpainter(params.sigma, params.kernel, params.repeats, params.scale_factor)


def _image(folder: Path, name: str) -> NDArray[np.uint8]:
    (path,) = folder.glob(f"{name}.*")
    return np.asarray(Image.open(path).convert("RGB"))


def _score(masks: dict[str, NDArray[np.bool_]], truths: dict[str, NDArray[np.uint8]]) -> float:
    return float(np.mean([_iou(masks[name], truths[name] == 1, truths[name] != IGNORED) for name in masks]))


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_], scored: NDArray[np.bool_]) -> float:
    return float((mask & truth & scored).sum() / ((mask | truth) & scored).sum())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    main(*(Path(argument) for argument in sys.argv[1:]))
