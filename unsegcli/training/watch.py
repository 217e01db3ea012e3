"""What can be said of a training without labels: whether clusters live, how even they are, whether they hold still."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unsegcli.core.draws import Draws
from unsegcli.core.jitter import jitter
from unsegcli.methods._contract import Batch, Method

LIVE = 0.1  # of an even share: a cluster with less is dead
COLLAPSED = 0.25  # entropy, as a share of the largest, below which a training is said to have collapsed
QUANTITIES = ("live", "evenness", "largest", "agreement")


@dataclass(frozen=True)
class Sight:
    """The state of a training at one step."""

    live: int  # clusters with at least a tenth of an even share of the pixels
    evenness: float  # entropy of the clusters' shares over the largest possible; 1 = all alike
    largest: float  # share of the largest cluster
    agreement: float  # pixels that keep their cluster when the picture is mirrored and lit otherwise

    def warning(self, classes: int) -> str:
        """What to say if all pixels go the same way; empty if not."""
        if classes > 1 and self.evenness < COLLAPSED:
            return (
                f"the clusters have collapsed: {self.live} of {classes} live, the largest has {self.largest:.0%}. "
                "Try another --seeds, a lower rate (--set rate=...), more pictures a step (--set batch=...), or more "
                "weight on even clusters where the method has it"
            )
        return ""


def look(method: Method, network: nn.Module, batch: Batch, config: Any) -> Sight:
    """Let the network label a batch and its changed copy; its state stays as it is."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            labels = _labels(method, network, batch, config)
            draws = Draws(batch.seed, 0, batch.index)
            images = jitter(batch.images, draws, "watch", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)
            changed = Batch(**{**vars(batch), **_mirrored(batch), "images": images.flip(3)})
            again = _labels(method, network, changed, config).flip(2)
    finally:
        network.train(was_training)
    inside = torch.ones_like(labels, dtype=torch.bool) if batch.mask is None else batch.mask
    return sight_of(labels[inside], again[inside], config.classes)


def sight_of(labels: Tensor, again: Tensor, classes: int) -> Sight:
    """The sight of labels (pixels,) and of those of the changed picture (pixels,)."""
    shares = torch.bincount(labels, minlength=classes).double() / max(1, len(labels))
    entropy = float(-(shares * shares.clamp_min(1e-12).log()).sum())
    return Sight(
        live=int((shares >= LIVE / classes).sum()),
        evenness=max(0.0, entropy) / math.log(classes) if classes > 1 else 1.0,
        largest=float(shares.max()),
        agreement=float((labels == again).double().mean()),
    )


def _labels(method: Method, network: nn.Module, batch: Batch, config: Any) -> Tensor:
    return method.cluster_scores(network, batch, config).argmax(1)


def _mirrored(batch: Batch) -> dict[str, Tensor]:
    names = ("mask", "superpixels", "proposals")
    parts = {name: getattr(batch, name) for name in names}
    return {name: part.flip(2) for name, part in parts.items() if part is not None}
