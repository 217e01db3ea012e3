"""Label-free monitoring of a training: live clusters, their evenness, and agreement under augmentation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unsegcli import store
from unsegcli.core.draws import Draws
from unsegcli.core.nn.contrast import object_means
from unsegcli.core.nn.grouping import FirstGrouping
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.errors import UnsegError
from unsegcli.methods._contract import Batch, Embedded, Method
from unsegcli.training.checkpoint import Training
from unsegcli.training.distributed import mean_of

LIVE = 0.1  # fraction of an even share of the pixels; a cluster with less is dead
COLLAPSED = 0.25  # normalized entropy below which the clusters have collapsed
RARE = 0.01  # fraction of the pixels below which there are no objects, or no background
ALIKE = 0.98  # mean cosine similarity of objects of different images above which they cannot be distinguished


@dataclass(frozen=True)
class ClusterStats:
    """Statistics of the clusters at one step."""

    live: int  # clusters with at least a tenth of an even share of the pixels
    evenness: float  # normalized entropy of the cluster sizes; 1 = all of equal size
    largest: float  # share of the largest cluster
    agreement: float  # fraction of pixels that keep their cluster when the image is mirrored and its colours change

    def text(self, classes: int) -> str:
        """Format the statistics for a note."""
        return (
            f"{self.live} of {classes} clusters live, evenness {self.evenness:.2f}, "
            f"largest {self.largest:.0%}, agreement {self.agreement:.0%}"
        )

    def warning(self, classes: int) -> str:
        """Return a warning if the clusters have collapsed; empty if not."""
        if classes > 1 and self.evenness < COLLAPSED:
            return (
                f"the clusters have collapsed: {self.live} of {classes} live, the largest has {self.largest:.0%}. "
                "Try another --seed, a lower --set learning_rate=..., more images per step (--set batch=...), or a "
                "larger weight for even clusters, if the method has one"
            )
        return ""


@dataclass(frozen=True)
class ObjectStats:
    """Statistics of the objects at one step, for a method that gives embeddings."""

    foreground: float  # fraction of pixels labelled object
    agreement: float  # fraction of pixels that stay object or background under the same changes
    likeness: float  # mean cosine similarity of objects of different images; 1 = all the same, 0 = spread evenly

    def text(self, classes: int) -> str:
        """Format the statistics for a note."""
        return f"{self.foreground:.0%} foreground, agreement {self.agreement:.0%}, likeness {self.likeness:.2f}"

    def warning(self, classes: int) -> str:
        """Return a warning if the objects cannot be clustered; empty if they can."""
        if not RARE <= self.foreground <= 1 - RARE:
            return (
                f"the network labels {self.foreground:.0%} of all pixels as object: check the masks in --proposals, "
                "train longer, or try a lower --set learning_rate=..."
            )
        if classes > 1 and self.likeness > ALIKE:
            return (
                f"the objects of different images are too similar to be clustered (cosine {self.likeness:.2f}). "
                "Try a lower --set learning_rate=..., more images per step (--set batch=...), or train longer"
            )
        return ""


def measure(method: Method, network: nn.Module, batch: Batch, config: Any) -> ClusterStats | ObjectStats:
    """Compute the statistics from a batch and an augmented copy; the network is not changed."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            draws = Draws(batch.seed, 0, batch.index)
            images = batch.images
            if images.shape[1]:
                images = jitter(images, draws, "watch", Strengths(0.2, 0.2, 0.2, 0.02), batch.mask)
            changed = Batch(**{**vars(batch), **_mirrored(batch), "images": images.flip(3)})
            inside = torch.ones_like(batch.images[:, 0], dtype=torch.bool) if batch.mask is None else batch.mask
            if hasattr(method, "embeddings"):
                first, second = (method.embeddings(network, one, config) for one in (batch, changed))
                return object_stats_of(first, second.objectness.flip(2), inside)
            labels = _labels(method, network, batch, config)
            again = _labels(method, network, changed, config).flip(2)
    finally:
        network.train(was_training)
    return cluster_stats_of(labels[inside], again[inside], config.classes)


def grouping_warning(network: nn.Module, steps: int) -> str:
    """Return a warning if a first grouping of the network never acted in a training of so many steps, else ""."""
    for first in network.modules():
        if isinstance(first, FirstGrouping) and (steps <= first.batches or not first.ready):
            return (
                f"the first grouping (guide) was never used: it is made of the first {first.batches} steps, and the "
                f"training had {steps}. Train for more steps, or use fewer for it (--set guide_batches=...)"
            )
    return ""


def object_stats_of(found: Embedded, again: Tensor, inside: Tensor) -> ObjectStats:
    """Compute object statistics.

    Args:
        found: vectors and objectness of the batch.
        again: objectness (batch, height, width) of the augmented images.
        inside: valid pixels (batch, height, width).
    """
    objects, others = ((logits > 0) & inside for logits in (found.objectness, again))
    pixels = inside.sum().clamp_min(1)
    means = object_means(found.vectors, objects)[objects.any((1, 2))]
    pairs = len(means) * (len(means) - 1)
    likeness = float((means @ means.T).sum() - (means * means).sum()) / pairs if pairs else 0.0
    return ObjectStats(
        foreground=float(objects.sum() / pixels),
        agreement=float(((objects == others) & inside).sum() / pixels),
        likeness=likeness,
    )


def cluster_stats_of(labels: Tensor, again: Tensor, classes: int) -> ClusterStats:
    """Compute cluster statistics from the labels (pixels,) and those of the augmented images (pixels,)."""
    shares = torch.bincount(labels, minlength=classes).double() / max(1, len(labels))
    entropy = float(-(shares * shares.clamp_min(1e-12).log()).sum())
    return ClusterStats(
        live=int((shares >= LIVE / classes).sum()),
        evenness=max(0.0, entropy) / math.log(classes) if classes > 1 else 1.0,
        largest=float(shares.max()),
        agreement=float((labels == again).double().mean()),
    )


def _labels(method: Method, network: nn.Module, batch: Batch, config: Any) -> Tensor:
    return method.cluster_scores(network, batch, config).max(1).indices  # argmax takes six times as long


def _mirrored(batch: Batch) -> dict[str, Tensor]:
    names = ("mask", "superpixels", "proposals")
    parts = {name: getattr(batch, name) for name in names}
    return {name: part.flip(2) for name, part in parts.items() if part is not None}


@dataclass
class Losses:
    """Loss terms of recent steps, read in groups so that a GPU rarely has to synchronize."""

    training: Training
    target: store.Target
    unread: list[dict[str, Tensor]] = field(default_factory=list)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of a step without synchronizing."""
        self.unread.append({name: mean_of(term) for name, term in terms.items()})

    def read(self) -> dict[str, str]:
        """Record all pending terms and format the last ones, `loss` first; raise if one is NaN or infinite."""
        first = self.training.step - len(self.unread)
        for number, terms in enumerate(self.unread):
            values = {name: float(term) for name, term in terms.items()}
            if not all(map(math.isfinite, values.values())):
                raise UnsegError(self._broken(first + number + 1, values))
            self.training.record_terms(first + number + 1, values)
        last = {name: float(term) for name, term in self.unread[-1].items()} if self.unread else {}
        self.unread = []
        return {name: f"{last[name]:.3f}" for name in sorted(last, key=lambda name: name != "loss")}

    def _broken(self, step: int, values: Mapping[str, float]) -> str:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        found = store.load_checkpoint(self.target)
        kept = (
            f"a checkpoint saved at step {json.loads(found[1])['step']} is in {self.target.partial}"
            if found
            else "no checkpoint was saved"
        )
        return (
            f"the loss is NaN or infinite at step {step} ({terms}); {kept}. Try a lower --set learning_rate=..., "
            "--set grad_clip=1, or --precision float32"
        )
