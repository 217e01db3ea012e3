"""The straightforward structure of inpainting error maximisation, which ours is measured against.

The objective is written down as it is defined, for a batch of images, and its gradient is left to torch. Every
image goes through every iteration. Single precision; numbers too small for it are taken for zero, without which it
is several times slower.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import conv2d

EPSILON = 1e-8
SIGMA, TAPS, REPEATS, DIVERSITY = 5.0, 11, 2, 1e-3


def masks_by_own_threads(
    images: NDArray[np.uint8], start: NDArray[np.bool_], iterations: int, threads: int = 2
) -> NDArray[np.bool_]:
    """The same, as it would be written down first: one batch, and torch shares each operation among its threads."""
    torch.set_num_threads(threads)
    return _masks_of(images, start, iterations)


def masks_of(
    images: NDArray[np.uint8], start: NDArray[np.bool_], iterations: int, threads: int = 2
) -> NDArray[np.bool_]:
    """The masks (images, height, width) of images (images, height, width, bands) from one first mask.

    Each thread has a part of the batch to itself: quicker than threads that share every operation and wait for each
    other, and many times so where other programs run.
    """
    torch.set_num_threads(1)
    with ThreadPoolExecutor(threads) as pool:
        parts = np.array_split(images, threads)
        return np.concatenate(list(pool.map(lambda part: _masks_of(part, start, iterations), parts)))


def _masks_of(images: NDArray[np.uint8], start: NDArray[np.bool_], iterations: int) -> NDArray[np.bool_]:
    torch.set_flush_denormal(True)  # of this thread
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    masks = torch.from_numpy(start).float().expand(len(images), 1, -1, -1).clone()
    cross = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])[None, None]
    square = torch.ones(1, 1, 3, 3)
    for _ in range(iterations):
        masks.requires_grad_(True)
        (slopes,) = torch.autograd.grad(objectives(images, masks).sum(), masks)
        with torch.no_grad():
            masks = masks.detach()
            # Beyond the border is neither side, so that a border pixel is always at the outline.
            outline = (conv2d(masks, cross, padding=1) >= 1) | (conv2d(1 - masks, cross, padding=1) >= 1)
            moved = torch.where(outline & (slopes != 0), (slopes > 0).float(), masks)
            masks = (conv2d(moved, square, padding=1) >= 4).float()
    return masks[:, 0].numpy() > 0


def objectives(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The objective of each image (images, bands, height, width) under its mask (images, 1, height, width)."""
    rest = 1 - masks
    area, rest_area = _total(masks), _total(rest)
    errors = _total(masks * _error(images, rest)) / area + _total(rest * _error(images, masks)) / rest_area
    spread = _spread(images, masks, area) + _spread(images, rest, rest_area)
    return (errors - DIVERSITY * spread).flatten()


def _error(images: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    stack = torch.cat([images * visible, visible], dim=1)
    filtered = _blurred(stack) + EPSILON * _total(stack)
    return (images - filtered[:, :-1] / filtered[:, -1:]).abs().mean(dim=1, keepdim=True)


def _spread(images: torch.Tensor, side: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    mean = _total(images * side) / area
    return (side * (images - mean) ** 2).sum(dim=(1, 2, 3), keepdim=True)


def _blurred(stack: torch.Tensor) -> torch.Tensor:
    taps = torch.exp(-0.5 * ((torch.arange(TAPS) - TAPS // 2) / SIGMA) ** 2)
    taps = (taps / taps.sum()).expand(stack.shape[1], 1, 1, TAPS)
    for _ in range(REPEATS):
        stack = conv2d(stack, taps, padding=(0, TAPS // 2), groups=stack.shape[1])
        stack = conv2d(stack, taps.transpose(2, 3), padding=(TAPS // 2, 0), groups=stack.shape[1])
    return stack


def _total(values: torch.Tensor) -> torch.Tensor:
    return values.sum(dim=(2, 3), keepdim=True)
