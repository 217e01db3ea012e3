"""What a method is: four names in one file, given here as types. There is no base class and no registry.

Nothing here computes; the training loop and `unseg cluster` rely on what is written here, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What the loop hands to a method at each step: crops of images, on the device."""

    images: Tensor  # (batch, channels, height, width), 0 to 1; 0 where void
    index: Tensor  # (batch,) which sample of the epoch's order each is, over all processes: seeds are drawn from it
    seed: int = 0
    step: int = 0
    epoch: int = 0
    progress: float = 0.0  # share of the training done
    mask: Tensor | None = None  # (batch, height, width), bool: the valid pixels; None = all
    superpixels: Tensor | None = None  # (batch, height, width), int64; numbered through the batch, -1 = void
    superpixel_count: int = 0  # how many numbers there are; some may have no pixel in the crop
    place: Tensor | None = None  # (batch, 4): top, left, height and width of each crop as shares of its image's sides
    proposals: Tensor | None = None  # (batch, height, width), bool: object masks made before
    confidence: Tensor | None = None  # (batch,): in each of these masks, 0 to 1
    image_features: Tensor | None = None  # (batch, features) of the images that these are tiles of; None = none


class Embedded(NamedTuple):
    """What a method gives instead of scores, if its clusters are found afterwards, among the vectors of objects."""

    vectors: Tensor  # (batch, dimensions, height, width), of any length; those of like objects point the same way
    objectness: Tensor  # (batch, height, width): logit of the probability that a pixel is object; above 0 = likely


@dataclass(frozen=True)
class LoopSettings:
    """What the loop reads of a method's Config, a flat frozen dataclass; every other field is the method's own.

    A Config inherits these fields and gives the defaults that suit it, or has fields of these names itself. Only
    `min_steps` may be missing there.
    """

    classes: int = 8  # number of clusters
    crop: int = 256  # side of the square cut from each image, in pixels; larger than the image = the whole of it
    batch: int = 16  # crops in a step, over all processes
    epochs: int = 15  # passes over all images: the length of the training, unless the user says otherwise
    min_steps: int = 200  # so many at least, for sets of few images; --steps and --epochs are exact
    optimizer: str = "adam"  # adam sgd
    learning_rate: float = 1e-3  # learning rate at its highest; search in steps of three
    schedule: str = "cosine"  # how the rate falls: constant cosine poly poly_epochs
    warmup: float = 0.0  # share of the training in which the rate rises from 0
    momentum: float = 0.9  # of sgd; adam's first beta
    weight_decay: float = 0.0  # weight decay, added to the gradient
    grad_clip: float = 5.0  # longest gradient, over all weights; 0 = any


class Method(Protocol):
    """A module with these names is a method."""

    Config: type[Any]  # a flat frozen dataclass with the fields of LoopSettings

    @staticmethod
    def Network(config: Any, channels: int) -> nn.Module:
        """Everything learnable; frozen state lives in buffers, or parameters without gradient."""

    @staticmethod
    def loss(network: nn.Module, batch: Batch, config: Any) -> Mapping[str, Tensor]:
        """The objective under "loss", to be made small, and its parts under names of their own, for people.

        Under several processes each holds a part of the batch: the mean of the losses of all must be the loss of
        the whole batch, so that what is not a mean over samples is summed over
        processes (`core/nn/distributed_sums.py`).
        """

    @staticmethod
    def cluster_scores(network: nn.Module, batch: Batch, config: Any) -> Tensor:
        """How much each pixel belongs to each cluster: (batch, clusters, height, width); sums to one."""


class EmbeddingMethod(Method, Protocol):
    """A method whose clusters are found afterwards: it has `embeddings`, and needs no `cluster_scores`."""

    @staticmethod
    def embeddings(network: nn.Module, batch: Batch, config: Any) -> Embedded:
        """A vector for each pixel, and whether it is object; `unseg cluster` groups the objects of all images."""


class PretrainedMethod(Method, Protocol):
    """A method that can begin with weights from elsewhere."""

    @staticmethod
    def backbones(network: nn.Module) -> Sequence[nn.Module]:
        """The parts that get such weights, each the same, under the names that these weights have in public files.

        `Config.architecture` is the name that torchvision knows them by.
        """


OPTIONAL = {
    "embeddings": "instead of cluster_scores, see EmbeddingMethod",
    "backbones": "see PretrainedMethod; without it, the method starts from random weights",
    "after_step": "after_step(network, batch, config): state that moves by itself, such as an average of the weights",
    "prepare": "prepare(network, batches, config): called once before step 1, not when a training goes on, with the "
    "network on its device. `batches` gives the crop of each image in epoch 0 once, in Batches that are made when "
    "asked for (all crops in every process; the last may be smaller). It changes buffers and weights in place, by "
    "batches and seed alone. Where steps are only timed or checked, it gets a few batches and a throwaway network",
    "image_features": "image_features(network, batch, config): (batch, features), means over the pixels of a "
    "image, for a method that looks at it as a whole: the tiles of a large one are given the mean of theirs",
    "ROLE": "what the clusters mean: clusters, or mask where 0 is background and 1 is object; else clusters",
    "needs": "needs(config): names of what the batches of a training must hold beside images: superpixels proposals",
    "REVISION": "raised when the same Config gives other results",
    "MULTIPLE": "sides of the images that the network takes are multiples of this, usually its stride; else 32",
}
