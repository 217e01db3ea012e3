"""A first grouping as a guide: one loss beside those of a method, which draws its clusters to what k-means finds.

Not part of any paper: with `guide=0` a method that has it is without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import ranks, summed
from unsegcli.core.nn.grouping import FirstGrouping, superpixel_features
from unsegcli.methods._contract import Batch, LoopSettings


@dataclass(frozen=True)
class GuideSettings(LoopSettings):
    """Settings of the guide, beside those of the loop."""

    guide: float = 1.0  # weight of a first grouping by colour, texture and place; 0 = none, 0.3 to 3
    guided: float = 0.4  # share of the training in which it has that weight
    guide_end: float = 0.3  # its weight at the end, after a straight fall
    guide_batches: int = 12  # first steps whose superpixels are grouped


def first_grouping(config: GuideSettings, channels: int) -> FirstGrouping | None:
    """What a network keeps as `first`: a grouping that is still to be made, or None where no guide is wanted."""
    if not config.guide:
        return None
    return FirstGrouping(config.classes, channels, config.guide_batches, config.batch)


def with_guide(
    terms: dict[str, Tensor], network: nn.Module, batch: Batch, config: GuideSettings, posteriors: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """The terms of a method with one more, `guide`, which is added to their `loss` by its weight at this moment.

    Args:
        terms: those of the method; its objective is "loss".
        network: keeps the grouping as `first`.
        batch: with superpixels.
        config: says how much the guide weighs.
        posteriors: gives log probabilities (superpixels, clusters); not asked where the guide has no weight.
    """
    weight = fading(batch.progress, config.guide, config.guided, config.guide_end)
    if not isinstance(network.first, FirstGrouping) or not weight:
        return terms
    term = guidance(network.first, posteriors(), batch)
    return {**terms, "loss": terms["loss"] + weight * term, "guide": term}


def guidance(first: FirstGrouping, posteriors: Tensor, batch: Batch) -> Tensor:
    """Cross entropy of superpixels, by area, to the clusters of a first grouping; 0 until that is there.

    Args:
        first: the grouping; it remembers the superpixels until it has enough.
        posteriors: log probabilities (superpixels, clusters).
        batch: the images and their superpixels.
    """
    if batch.superpixels is None:
        raise ValueError("the batch has no superpixels")
    features, areas = superpixel_features(batch.images, batch.superpixels, batch.superpixel_count, batch.place)
    if not first.ready:
        first.remember(features, areas, batch.superpixels, batch.seed)
        return 0 * posteriors.sum()
    lost = functional.nll_loss(posteriors, first.assign(features), reduction="none")
    result: Tensor = (areas * lost).sum() / summed(areas.sum()).clamp_min(1) * ranks()
    return result


def fading(progress: float, weight: float, level: float, end: float) -> float:
    """A weight that stands for a share `level` of the training, then goes in a straight line to `end`."""
    fallen = max(0.0, progress - level) / max(1e-9, 1 - level)
    return weight + fallen * (end - weight)
