"""Split an image into two or more parts by inpainting error maximisation; a constant image is not split.

Parts are numbered from 0, the background, in the order in which they were split off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.saliency.contour import ascend
from unsegcli.core.saliency.iem import Inpainter, Judgement, Problem, colour_halves, judge, problem_of

ONE_COLOUR = "the image has one colour only: all background"
NO_PIXEL = "no pixel is valid; look at --nodata, --mask and --alpha"
ONE_SIDED = "the first mask was empty or full: the colours were split in two halves instead"
STOPPED = "one side would have become empty: the previous mask was kept"
FEW_PARTS = "fewer parts than requested: the remaining parts have one colour each"


@dataclass(frozen=True)
class Ascending:
    """Settings of the ascent; see the fields of `params.Iem`."""

    inpainter: Inpainter
    diversity: float
    iterations: int
    smooth: bool = True
    everywhere: bool = False


@dataclass(frozen=True)
class Parted:
    """The parts of an image."""

    parts: NDArray[np.int32]  # (height, width); -1 where not valid
    confidence: float  # 0 to 1, mean over the splits
    objectness: NDArray[np.float64]  # (height, width), of the first split
    warning: str = ""


def part(
    pixels: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None,
    start: NDArray[np.bool_],
    settings: Ascending,
    count: int = 2,
) -> Parted:
    """Split an image (height, width, bands), starting from a mask (height, width), into up to `count` parts.

    The part with the largest spread of colours is split next, starting from the two halves of its colours.
    """
    problem = problem_of(pixels, valid, settings.inpainter, settings.diversity)
    parts = np.where(problem.valid, 0, -1).astype(np.int32)
    if not problem.valid.any() or _is_uniform(problem):
        blank = np.where(problem.valid, 0.0, 0.5)
        return Parted(parts, 0.0, blank, ONE_COLOUR if problem.valid.any() else NO_PIXEL)
    mask, warning = _split(problem, start, settings)
    parts[mask] = 1
    first = judge(problem, mask)
    judged = [first]
    while len(judged) < count - 1:
        inner = _least_uniform(pixels, parts, settings)
        if inner is None:
            warning = warning or FEW_PARTS
            break
        mask, _ = _split(inner, colour_halves(inner), settings)
        parts[mask] = parts.max() + 1
        judged.append(judge(inner, mask))
    return Parted(parts, _mean_confidence(judged), first.objectness, warning)


def _split(problem: Problem, start: NDArray[np.bool_], settings: Ascending) -> tuple[NDArray[np.bool_], str]:
    warning = ""
    inside = problem.valid & start
    if not inside.any() or np.array_equal(inside, problem.valid):
        inside, warning = colour_halves(problem), ONE_SIDED
    ascent = ascend(problem, inside, settings.iterations, smooth=settings.smooth, everywhere=settings.everywhere)
    return ascent.mask, STOPPED if ascent.emptied else warning


def _is_uniform(problem: Problem) -> bool:
    colours = problem.image[:, problem.valid]
    return bool((colours == colours[:, :1]).all())


def _least_uniform(pixels: NDArray[np.uint8], parts: NDArray[np.int32], settings: Ascending) -> Problem | None:
    """Return the part with the largest spread of colours as a problem; None if all parts are constant."""
    problems = [
        problem_of(pixels, parts == number, settings.inpainter, settings.diversity)
        for number in range(parts.max() + 1)
        if (parts == number).any()
    ]
    split = [(judge(problem, problem.valid).spread, problem) for problem in problems if not _is_uniform(problem)]
    return max(split, key=lambda pair: pair[0])[1] if split else None


def _mean_confidence(judged: list[Judgement]) -> float:
    return float(np.mean([one.confidence for one in judged]))
