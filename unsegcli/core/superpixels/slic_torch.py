"""SLIC on a GPU, for batches of images: the distances of all cells are products of matrices.

Colours and connected pieces are computed on the CPU by the functions of `slic.py`, with one thread per core, while the
device computes the next batch. Results equal those of `slic.py` except for ties: float32 sums are in another order,
so a pixel that is equally far from two centres (within 1e-5 of the distance) may go to either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsegcli.core.superpixels.connected import connected
from unsegcli.core.superpixels.fixed_point import Planes, fixed_point
from unsegcli.core.superpixels.lattice import CANDIDATES, Lattice, lattice
from unsegcli.core.superpixels.regions import RegionMap
from unsegcli.core.superpixels.slic import HALVES, prepared, seed_numbers, weights_of

BATCH_PIXELS = 32_000_000  # about 9 GB on the device with three bands


def slic_on_device(
    images: Sequence[NDArray[Any]],
    valid: NDArray[np.bool_] | None,
    segments: int,
    compactness: float,
    device: torch.device,
) -> Iterator[RegionMap]:
    """Compute the superpixels of images of one size and mask, in order; see `slic` for arguments and result."""
    if not images:
        return
    valid, segments = prepared(images[0], valid, segments, compactness)
    height, width = images[0].shape[:2]
    if segments == 0:
        yield from (np.full((height, width), -1, np.int32) for _ in images)
        return
    size = max(1, BATCH_PIXELS // (height * width))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        coming = [pool.submit(fixed_point, image, valid) for image in batches[0]]
        for number, batch in enumerate(batches):
            planes = [future.result() for future in coming]
            following = batches[number + 1] if number + 1 < len(batches) else ()
            coming = [pool.submit(fixed_point, image, valid) for image in following]
            del batch
            yield from _connected_batch(planes, valid, segments, compactness, device, pool)


def _connected_batch(
    planes: list[Planes],
    valid: NDArray[np.bool_] | None,
    segments: int,
    compactness: float,
    device: torch.device,
    pool: ThreadPoolExecutor,
) -> list[RegionMap]:
    """Compute the superpixels of a batch; images with too few separate pieces are repeated with more centres."""
    regions: dict[int, RegionMap] = {}
    for count in seed_numbers(segments):
        left = [number for number in range(len(planes)) if number not in regions]
        chosen = [planes[number] for number in left]
        if not chosen:
            break
        labels = nearest_centres(np.stack(chosen), valid, count, compactness, device)
        found = pool.map(connected, labels, chosen, [segments] * len(chosen))
        for number, region in zip(left, found, strict=True):
            if int(region.max()) + 1 >= segments or count >= segments:
                regions[number] = region
    return [regions[number] for number in range(len(planes))]


def nearest_centres(
    planes: NDArray[np.int16], valid: NDArray[np.bool_] | None, count: int, compactness: float, device: torch.device
) -> NDArray[np.int32]:
    """Find the nearest centre of each pixel: (images, height, width), -1 where a pixel is not valid.

    Args:
        planes: (images, bands, height, width).
        valid: (height, width), or None = all.
        count: number of centres.
        compactness: as in `slic`.
        device: where to compute.
    """
    images, bands, height, width = planes.shape
    grid = lattice((height, width), valid, count)
    places, halves = (torch.from_numpy(table).to(device) for table in _places(grid, valid, (height, width)))
    candidates = torch.from_numpy(grid.candidates.astype(np.int64)).to(device)
    weights = torch.from_numpy(weights_of(compactness, int(grid.areas.sum()) / count, bands)).to(device)
    origins = torch.from_numpy(grid.cells[:, [0, 2]].astype(np.float64)).to(device)

    features = _features(torch.from_numpy(planes).to(device), places, origins, width)
    own = torch.zeros(features.shape[:3], dtype=torch.int64, device=device)
    itself = torch.arange(len(candidates), device=device)[:, None].expand(-1, CANDIDATES)
    centres = _means(features, own, places >= 0, itself, origins, None)
    nearest = own
    for half in HALVES:
        used = (places >= 0) if half is None else (places >= 0) & (halves == half)
        nearest = _nearest(features, centres, candidates, weights, origins)
        centres = _means(features, nearest, used, candidates, origins, centres)

    labels = torch.full((images, height * width), -1, dtype=torch.int32, device=device)
    chosen = candidates.gather(1, nearest.transpose(0, 1).reshape(len(candidates), -1))
    chosen = chosen.view(len(candidates), images, -1).transpose(0, 1).to(torch.int32)
    inside = places >= 0
    labels[:, places[inside]] = chosen[:, inside]
    return labels.view(images, height, width).cpu().numpy()


def _places(
    grid: Lattice, valid: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel number at each place of each cell, -1 = padding, and its half: (cells, places)."""
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    places = np.full((len(grid.cells), int(grid.areas.max())), -1)
    halves = np.zeros_like(places)
    for cell, (top, bottom, left, right) in enumerate(grid.cells):
        inside = np.s_[top:bottom, left:right]
        rows = np.arange(bottom - top)[:, None].repeat(right - left, axis=1) % 2
        keep = np.ones(rows.shape, np.bool_) if valid is None else valid[inside]
        places[cell, : grid.areas[cell]] = numbers[inside][keep]
        halves[cell, : grid.areas[cell]] = rows[keep]
    return places, halves


def _features(planes: Tensor, places: Tensor, origins: Tensor, width: int) -> Tensor:
    """Return row and column in the cell, and bands: (images, cells, places, 2 + bands), float32."""
    at = places.clamp_min(0)
    colours = planes.flatten(2)[:, :, at].permute(0, 2, 3, 1).float()
    positions = torch.stack([at // width, at % width], dim=-1) - origins[:, None]
    return torch.cat([positions.float().expand(len(planes), -1, -1, -1), colours], dim=-1)


def _nearest(features: Tensor, centres: Tensor, candidates: Tensor, weights: Tensor, origins: Tensor) -> Tensor:
    """Find the nearest candidate of each pixel: (images, cells, places)."""
    values = centres[:, candidates]  # (images, cells, candidates, features), float64
    values = torch.cat([values[..., :2] - origins[:, None], values[..., 2:]], dim=-1)
    constants = (weights * values**2).sum(-1).float()
    slopes = (2 * weights * values).float()
    return (constants[:, :, None] - features @ slopes.transpose(2, 3)).argmin(-1)


def _means(
    features: Tensor, nearest: Tensor, used: Tensor, candidates: Tensor, origins: Tensor, before: Tensor | None
) -> Tensor:
    """Average the features over the pixels of each centre: (images, centres, features), float64.

    Sums of integers are exact in float64, in whatever order. A centre without pixels is as `before`.
    """
    images, cells, places, count = features.shape
    members = torch.nn.functional.one_hot(nearest, CANDIDATES).to(torch.float64) * used[:, :, None]
    values = torch.cat([features.double(), features.new_ones(images, cells, places, 1).double()], dim=-1)
    values[..., :2] += origins[:, None]
    sums = members.transpose(2, 3) @ values  # (images, cells, candidates, features + 1)
    total = sums.new_zeros(images, cells, count + 1)
    total.index_add_(1, candidates.reshape(-1), sums.view(images, -1, count + 1))
    means = total[..., :-1] / total[..., -1:].clamp_min(1)
    return means if before is None else torch.where(total[..., -1:] > 0, means, before)
