"""Compares masks with those that the authors' own program made.

    python tests/benchmarks/compare_iem.py REFERENCE IMAGES LABELS

REFERENCE holds masks (PNG, 0 and 255) of 128 x 128 pixels and objective.csv with the columns image,
objective_at_start, objective_at_iteration_150 and iou_255_ignored; IMAGES and LABELS hold files of the same names.
Our masks are made at the published settings. Not part of the tests: neither images nor masks are ours to ship.
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

SIDE, ITERATIONS, DIVERSITY, IGNORED = 128, 150, 1e-3, 255


def main(reference: Path, images: Path, labels: Path) -> None:
    """Print how far masks, scores and objectives are apart."""
    with (reference / "objective.csv").open() as file:
        rows = list(csv.DictReader(file))
    equal, ours, theirs, at_start, at_end, before_end = [], [], [], [], [], []
    start = centred_square(SIDE, SIDE, 78 / 128)
    for row in rows:
        name = row["image"]
        problem = problem_of(_image(images, name), None, Inpainter(), DIVERSITY)
        mask = ascend(problem, start, ITERATIONS).mask
        previous = ascend(problem, start, ITERATIONS - 1).mask
        expected = np.asarray(Image.open(reference / f"{name}.png")) > 0
        truth = np.asarray(Image.open(labels / f"{name}.png"))
        equal.append(float((mask == expected).mean()))
        ours.append(_iou(mask, truth))
        theirs.append(_iou(expected, truth))
        published = float(row["objective_at_iteration_150"])
        at_start.append(judge(problem, start).objective - float(row["objective_at_start"]))
        at_end.append(judge(problem, mask).objective - published)
        before_end.append(judge(problem, previous).objective - published)
    print(f"images                                      {len(rows)}, {equal.count(1.0)} with every pixel equal")
    print(f"share of equal pixels, mean and worst         {np.mean(equal):.6f} {min(equal):.6f}")
    print(f"mean IoU, ours and theirs                     {np.mean(ours):.4f} {np.mean(theirs):.4f}")
    for what, apart in (("of the first mask", at_start), ("of the last", at_end), ("of the last but one", before_end)):
        print(f"objective {what:<20} off by at most  {np.abs(apart).max():.2g}")


def _image(folder: Path, name: str) -> NDArray[np.uint8]:
    (path,) = folder.glob(f"{name}.*")
    return np.asarray(Image.open(path).convert("RGB"))


def _iou(mask: NDArray[np.bool_], truth: NDArray[np.uint8]) -> float:
    scored, objects = truth != IGNORED, truth == 1
    both, either = (mask & objects & scored).sum(), ((mask | objects) & scored).sum()
    return float(both / either)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit((__doc__ or "").split("\n\n")[1].strip())
    main(*(Path(argument) for argument in sys.argv[1:]))
