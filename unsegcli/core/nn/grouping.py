"""A first grouping of superpixels by colour, texture and position with k-means, without learning.

The torch version of `features.py`, for methods that start from the result of the baseline.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.kmeans import kmeans
from unsegcli.core.nn.distributed_sums import gathered
from unsegcli.core.nn.lab import lab
from unsegcli.core.nn.pooling import paint, pool
from unsegcli.core.superpixels.features import TEXTURE_SIGMAS, TRUNCATE, feature_weights

TEXTURES, PLACES = 3, 2  # dimensions
ROWS = 40  # superpixels stored per crop, at most
ITERATIONS, STARTS = 100, 10  # of k-means


def dimensions_of(channels: int) -> int:
    """Return the number of features of a superpixel for a number of bands."""
    return 2 * channels + TEXTURES + PLACES


def superpixel_features(images: Tensor, superpixels: Tensor, count: int, place: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute features of superpixels (superpixels, dimensions), and their areas in pixels (superpixels,).

    Args:
        images: (batch, channels, height, width), 0 to 1.
        superpixels: (batch, height, width), numbered through the batch, -1 = void.
        count: number of superpixels.
        place: (batch, 4) top, left, height and width of each crop in its image; None = the whole image.
    """
    colours = lab(images) if images.shape[1] == 3 else images
    maps = torch.cat([colours, _texture(images.mean(1, keepdim=True)), _positions(images, place)], 1)
    means, areas = pool(maps, superpixels, count)
    mean, rest = means.split([images.shape[1], TEXTURES + PLACES], 1)
    # In two passes: a region of one colour has deviation 0, which the one-pass formula would miss.
    deviation = pool((colours - paint(mean, superpixels)) ** 2, superpixels, count).means.sqrt()
    return torch.cat([mean, deviation, rest], 1), areas


class FirstGrouping(nn.Module):
    """K-means on superpixels of the first batches; later superpixels are assigned to the nearest centre."""

    def __init__(self, clusters: int, channels: int, batches: int, crops: int) -> None:
        super().__init__()
        self.clusters, self.channels, self.batches = clusters, channels, batches
        dimensions = dimensions_of(channels)
        self.seen: Tensor
        self.remembered: Tensor
        self.sources: Tensor
        self.centres: Tensor
        self.scale: Tensor
        # Buffers, so that an interrupted training run can be resumed.
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # batches
        self.register_buffer("remembered", torch.zeros(batches, crops * ROWS, dimensions + 1))  # features and area
        self.register_buffer("sources", torch.zeros(batches, crops * ROWS, dtype=torch.int64))  # number of the image
        self.register_buffer("centres", torch.zeros(clusters, dimensions))
        self.register_buffer("scale", torch.zeros(2, dimensions))  # mean to subtract from features, and factor

    @property
    def ready(self) -> bool:
        """Whether k-means has been fitted."""
        return int(self.seen) >= self.batches

    @torch.no_grad()
    def remember(self, features: Tensor, areas: Tensor, superpixels: Tensor, sources: Tensor, seed: int) -> None:
        """Collect superpixels of a batch, and fit k-means when enough batches have been seen.

        Each crop contributes at most the same number, weighted to its total area, so several processes collect the
        same superpixels as one process with the whole batch.

        Args:
            features: (superpixels, dimensions).
            areas: (superpixels,) in pixels.
            superpixels: (batch, height, width), numbered through the batch, -1 = void.
            sources: (batch,) number of the image of each crop.
            seed: seed of k-means.
        """
        rows = features.new_zeros(len(superpixels), ROWS, features.shape[1] + 1)  # unused rows have area 0
        for row, numbers in zip(rows, superpixels, strict=True):
            here = numbers[numbers >= 0].unique()
            every = torch.linspace(0, max(0, len(here) - 1), min(ROWS, len(here)), device=here.device)
            taken = here[every.round().long()]
            row[: len(taken), :-1] = features[taken]
            row[: len(taken), -1] = areas[taken] * areas[here].sum() / areas[taken].sum()
        self.remembered[int(self.seen)] = gathered(rows.flatten(0, 1))
        self.sources[int(self.seen)] = gathered(sources.repeat_interleave(ROWS))
        self.seen += 1
        if self.ready:
            self._group(seed)

    @torch.no_grad()
    def assign(self, features: Tensor) -> Tensor:
        """Return the nearest centre of each superpixel: (superpixels,)."""
        return torch.cdist((features - self.scale[0]) * self.scale[1], self.centres).argmin(1)

    def _group(self, seed: int) -> None:
        rows = self.remembered.flatten(0, 1).double()
        features, areas = rows[:, :-1], rows[:, -1]
        share = areas / areas.sum()
        mean = (share[:, None] * features).sum(0)
        deviation = (share[:, None] * (features - mean) ** 2).sum(0).sqrt()
        sources = self.sources.flatten().cpu().numpy()
        weights = feature_weights(features.cpu().numpy(), areas.cpu().numpy(), self.channels, sources)
        self.scale[0], self.scale[1] = mean, torch.from_numpy(weights).to(mean) / deviation.clamp_min(1e-6)
        scaled = (features - self.scale[0]) * self.scale[1]
        found = kmeans(
            scaled.cpu().numpy(), self.clusters, seed=seed, starts=STARTS, iterations=ITERATIONS,
            weights=areas.cpu().numpy(),
        )  # fmt: skip
        self.centres.copy_(torch.from_numpy(found.centres))


def _texture(grey: Tensor) -> Tensor:
    """Compute gradient magnitude and absolute fine and coarse band-passes: (batch, 3, height, width)."""
    fine, middle, coarse = (_blurred(grey, sigma) for sigma in TEXTURE_SIGMAS)
    edged = functional.pad(fine, (1, 1, 1, 1), mode="replicate")
    down = (edged[:, :, 2:, 1:-1] - edged[:, :, :-2, 1:-1]) / 2
    across = (edged[:, :, 1:-1, 2:] - edged[:, :, 1:-1, :-2]) / 2
    return torch.cat([torch.hypot(down, across), (fine - middle).abs(), (middle - coarse).abs()], 1)


def _blurred(grey: Tensor, sigma: float) -> Tensor:
    reach = min(round(TRUNCATE * sigma), *(side - 1 for side in grey.shape[2:]))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=grey.device) / sigma) ** 2)
    taps = (taps / taps.sum()).to(grey.dtype)
    padded = functional.pad(grey, (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(padded, taps[None, None, :, None]), taps[None, None, None])


def _positions(images: Tensor, place: Tensor | None) -> Tensor:
    """Return row and column of each pixel in the whole image, 0 to 1: (batch, 2, height, width)."""
    count, _, height, width = images.shape
    down = (torch.arange(height, device=images.device) + 0.5) / height
    across = (torch.arange(width, device=images.device) + 0.5) / width
    where = images.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(count, 4) if place is None else place.to(images)
    rows = where[:, 0, None] + down * where[:, 2, None]
    columns = where[:, 1, None] + across * where[:, 3, None]
    return torch.stack([rows[:, :, None].expand(-1, -1, width), columns[:, None, :].expand(-1, height, -1)], 1)
