"""Guide: an additional loss that draws the clusters of a method towards a first grouping by k-means.

Not part of any paper: with `guide=0` a method that has it is without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import ranks, summed
from unsegcli.core.nn.grouping import FirstGrouping
from unsegcli.methods._contract import Batch, LoopSettings


@dataclass(frozen=True)
class GuideSettings(LoopSettings):
    """Settings of the guide."""

    guide: float = 1.0  # weight of a first grouping by k-means on region features; 0 = none, 0.3 to 3
    guided: float = 0.4  # share of the training with this weight
    guide_end: float = 0.3  # weight at the end, after a linear decrease
    guide_batches: int = 12  # number of first steps whose superpixels are grouped


def first_grouping(config: GuideSettings, channels: int) -> FirstGrouping | None:
    """Create the grouping that a network stores as `first`; None if the guide is not used."""
    if not config.guide:
        return None
    return FirstGrouping(config.classes, channels, config.guide_batches, config.batch)


def with_guide(
    terms: dict[str, Tensor], network: nn.Module, batch: Batch, config: GuideSettings, posteriors: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """Add the term `guide` to the terms of a method, and to their `loss` with its present weight.

    Args:
        terms: terms of the method; its objective is "loss".
        network: network with the grouping as `first`.
        batch: a batch with superpixels and their features.
        config: settings of the guide.
        posteriors: function that returns log probabilities (superpixels, clusters); not called if the weight is 0.
    """
    weight = fading(batch.progress, config.guide, config.guided, config.guide_end)
    if not isinstance(network.first, FirstGrouping) or not weight:
        return terms
    term = guidance(network.first, posteriors(), batch)
    return {**terms, "loss": terms["loss"] + weight * term, "guide": term}


def guidance(first: FirstGrouping, posteriors: Tensor, batch: Batch) -> Tensor:
    """Cross entropy of superpixels against the first grouping, weighted by area; 0 until it is fitted.

    Args:
        first: the grouping; it collects superpixels until it has enough.
        posteriors: log probabilities (superpixels, clusters).
        batch: the superpixels and their features.
    """
    if batch.superpixels is None or batch.regions is None:
        raise ValueError("the batch has no features of superpixels")
    features, areas = batch.regions.features, batch.regions.areas
    if not first.ready:
        images = batch.index if batch.image_numbers is None else batch.image_numbers
        first.remember(features, areas, batch.superpixels, images, batch.seed)
        return 0 * posteriors.sum()
    lost = functional.nll_loss(posteriors, first.assign(features), reduction="none")
    result: Tensor = (areas * lost).sum() / summed(areas.sum()).clamp_min(1) * ranks()
    return result


def fading(progress: float, weight: float, level: float, end: float) -> float:
    """Return a weight that is constant for a share `level` of the training, then changes linearly to `end`."""
    fallen = max(0.0, progress - level) / max(1e-9, 1 - level)
    return weight + fallen * (end - weight)
