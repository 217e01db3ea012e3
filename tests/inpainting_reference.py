"""Inpainting error maximisation as its equations say, in float64 by automatic differentiation: slow, and plain.

What `core/saliency/contour.py` computes by hand is held against this. Nothing is shared with it but the `Problem`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from unsegcli.core.saliency.iem import Inpainter, Problem, problem_of

EPSILON = 1e-8
PHOTOGRAPHS = (
    *("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field", "immunohistochemistry", "motorcycle"),
    *("camera", "coins", "moon", "cell", "brick", "grass", "gravel", "clock"),
)


@functools.cache
def photograph(name: str, height: int = 128, width: int = 128) -> NDArray[np.uint8]:
    """The middle of a photograph (height, width, bands), each pixel the mean of as many as there is room for."""
    whole = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    whole = np.atleast_3d(whole)[:, :, :3]
    step = max(1, min(whole.shape[0] // height, whole.shape[1] // width))
    top, left = ((length - step * side) // 2 for length, side in zip(whole.shape, (height, width), strict=False))
    cut = whole[top : top + step * height, left : left + step * width].astype(float)
    means = cut.reshape(height, step, width, step, -1).mean(axis=(1, 3))
    pixels: NDArray[np.uint8] = means.round().astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def photograph_problem(
    name: str,
    height: int = 128,
    width: int = 128,
    inpainter: Inpainter | None = None,
    valid: NDArray[np.bool_] | None = None,
    diversity: float = 1e-3,
) -> Problem:
    """The middle of a photograph, with the published settings."""
    return problem_of(photograph(name, height, width), valid, inpainter or Inpainter(), diversity)


def filtered(planes: Tensor, inpainter: Inpainter) -> Tensor:
    """Each plane (planes, height, width) through the Gaussian, one pass after the other, each with zeros beyond."""
    reach = inpainter.kernel // 2
    taps = torch.exp(-((torch.arange(inpainter.kernel, dtype=torch.float64) - reach) ** 2) / (2 * inpainter.sigma**2))
    taps = taps / taps.sum()
    inner = planes[:, None]
    if inpainter.factor > 1:
        inner = avg_pool2d(inner, inpainter.factor, ceil_mode=True, count_include_pad=False)
    for _ in range(inpainter.repeats):
        inner = conv2d(inner, taps.view(1, 1, -1, 1), padding=(reach, 0))
        inner = conv2d(inner, taps.view(1, 1, 1, -1), padding=(0, reach))
    if inpainter.factor > 1:
        inner = interpolate(inner, scale_factor=inpainter.factor, mode="nearest")
    return inner[:, 0, : planes.shape[1], : planes.shape[2]]


def filled_in(image: Tensor, visible: Tensor, inpainter: Inpainter) -> Tensor:
    """What an image (bands, height, width) is everywhere, judged by its visible pixels (1, height, width)."""
    seen = image * visible
    numerator = filtered(seen, inpainter) + EPSILON * seen.sum(dim=(1, 2), keepdim=True)
    return numerator / (filtered(visible, inpainter) + EPSILON * visible.sum())


def spread(image: Tensor, side: Tensor) -> Tensor:
    """Squared distance to the mean colour of a side (1, height, width), summed over pixels and bands."""
    mean = (image * side).sum(dim=(1, 2), keepdim=True) / side.sum()
    return (side * (image - mean) ** 2).sum()


def objective(problem: Problem, mask: Tensor) -> Tensor:
    """E - lambda D of a mask (1, height, width) of real numbers; void pixels belong to no side."""
    valid = torch.from_numpy(problem.valid)[None].double()
    image = torch.from_numpy(problem.image) * valid
    inner, outer = mask * valid, (1 - mask) * valid
    inner_wrong = (image - filled_in(image, outer, problem.inpainter)).abs().mean(dim=0, keepdim=True)
    outer_wrong = (image - filled_in(image, inner, problem.inpainter)).abs().mean(dim=0, keepdim=True)
    error = (inner * inner_wrong).sum() / inner.sum() + (outer * outer_wrong).sum() / outer.sum()
    return error - problem.diversity * (spread(image, inner) + spread(image, outer))


def value(problem: Problem, mask: NDArray[np.bool_]) -> float:
    """The objective of a mask (height, width)."""
    return float(objective(problem, torch.from_numpy(mask)[None].double()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: on busy processors, several wait for each other many times as long as they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradient(problem: Problem, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The objective's gradient at a mask (height, width)."""
    weights = torch.from_numpy(mask)[None].double().requires_grad_()
    with one_thread():
        objective(problem, weights).backward()
    assert weights.grad is not None
    return weights.grad[0].numpy()


def shifted(mask: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """The value of the pixel so many rows below and columns to the right; none beyond the border."""
    height, width = mask.shape
    return np.pad(mask, 1)[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]


def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a side that have one of their four neighbours not in it."""
    four = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return mask & ~np.logical_and.reduce([shifted(mask, *step) for step in four])


def step(
    problem: Problem, mask: NDArray[np.bool_], *, smooth: bool = True, everywhere: bool = False
) -> NDArray[np.bool_]:
    """The mask after one iteration."""
    valid = problem.valid
    slope = gradient(problem, mask)
    movable = valid if everywhere else contour(mask) | contour(valid & ~mask)
    moved = np.where(movable & (slope != 0), slope > 0, mask)
    if smooth:
        nine = [shifted(moved, rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]
        moved = (np.sum(nine, axis=0) >= 4) & valid
    return moved


def ascended(
    problem: Problem, start: NDArray[np.bool_], iterations: int = 150, *, smooth: bool = True, everywhere: bool = False
) -> NDArray[np.bool_]:
    """The mask after all iterations."""
    mask = start & problem.valid
    for _ in range(iterations):
        mask = step(problem, mask, smooth=smooth, everywhere=everywhere)
    return mask
