"""A first grouping of superpixels by their hand-crafted features with k-means, for methods that start from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unsegcli.core.kmeans import kmeans
from unsegcli.core.nn.distributed_sums import gathered
from unsegcli.core.superpixels.features import feature_groups
from unsegcli.core.superpixels.region_space import dimensions_of, fit_space, place_weights

ROWS = 40  # superpixels stored per crop, at most
ITERATIONS, STARTS = 100, 10  # of k-means


class FirstGrouping(nn.Module):
    """K-means on superpixels of the first batches; later superpixels are assigned to the nearest centre."""

    def __init__(self, clusters: int, channels: int, batches: int, crops: int) -> None:
        super().__init__()
        self.clusters, self.channels, self.batches = clusters, channels, batches
        features, dimensions = feature_groups(channels)["surroundings"].stop, dimensions_of(channels)
        self.seen: Tensor
        self.remembered: Tensor
        self.sources: Tensor
        self.centres: Tensor
        self.mean: Tensor
        self.projection: Tensor
        # Buffers, so that an interrupted training run can be resumed.
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # batches
        self.register_buffer("remembered", torch.zeros(batches, crops * ROWS, features + 1))  # features and area
        self.register_buffer("sources", torch.zeros(batches, crops * ROWS, dtype=torch.int64))  # number of the image
        self.register_buffer("centres", torch.zeros(clusters, dimensions))
        self.register_buffer("mean", torch.zeros(features))  # to subtract from features before their projection
        self.register_buffer("projection", torch.zeros(features, dimensions))

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
            features: (superpixels, features) of `region_features`.
            areas: (superpixels,) pixels in the crop.
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
        with torch.autocast(features.device.type, enabled=False):
            return torch.cdist((features - self.mean) @ self.projection, self.centres).argmin(1)

    def _group(self, seed: int) -> None:
        rows = self.remembered.flatten(0, 1).double().cpu().numpy()
        features, areas, sources = rows[:, :-1], rows[:, -1], self.sources.flatten().cpu().numpy()
        place = place_weights(features, areas, self.channels, sources)
        space = fit_space(features, areas, self.channels, place)
        found = kmeans(space(features), self.clusters, seed=seed, starts=STARTS, iterations=ITERATIONS, weights=areas)
        self.mean.copy_(torch.from_numpy(space.mean))
        self.projection.copy_(torch.from_numpy(space.projection))
        self.centres.copy_(torch.from_numpy(found.centres))
