"""The interface of a method: four names in one file, given here as types. There is no base class or registry.

Nothing here computes; the training loop and `unseg cluster` rely on what is written here, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Regions(NamedTuple):
    """What is known about the superpixels of a batch before any learning, numbered like them."""

    # (superpixels, features): hand-crafted, of the whole image (`core/superpixels/features.py`); then the vectors of a
    # file of features, if there is one. Without pixels there are only those.
    features: Tensor
    centres: Tensor  # (superpixels, 2): row and column in the crop, as shares of its longer side
    areas: Tensor  # (superpixels,) pixels in the crop; 0 = outside
    crops: Tensor  # (superpixels,) number of the crop in the batch, in increasing order


@dataclass(frozen=True)
class Batch:
    """The input of a method at each step: crops of images, on the device."""

    images: Tensor  # (batch, channels, height, width), 0 to 1; 0 where void
    index: Tensor  # (batch,) number of each sample in the epoch, over all processes; random seeds derive from it
    seed: int = 0
    step: int = 0
    epoch: int = 0
    progress: float = 0.0  # share of the training completed, 0 to 1
    mask: Tensor | None = None  # (batch, height, width), bool: the valid pixels; None = all
    superpixels: Tensor | None = None  # (batch, height, width), int64; numbered through the batch, -1 = void
    superpixel_count: int = 0  # number of superpixels; some may have no pixel in the crop
    place: Tensor | None = None  # (batch, 4): top, left, height and width of each crop as shares of its image's sides
    regions: Regions | None = None  # of the superpixels
    proposals: Tensor | None = None  # (batch, height, width), bool: given object masks
    confidence: Tensor | None = None  # (batch,): confidence of each of these masks, 0 to 1
    image_features: Tensor | None = None  # (batch, features) of the images that the tiles are from; None = not used
    image_numbers: Tensor | None = None  # (batch,) number of the image of each crop; None = all different


class Embedded(NamedTuple):
    """The output of a method whose clusters are found after training, by clustering vectors of objects."""

    vectors: Tensor  # (batch, dimensions, height, width), of any length; similar objects have similar directions
    objectness: Tensor  # (batch, height, width): logit of the probability that a pixel belongs to an object


@dataclass(frozen=True)
class LoopSettings:
    """Fields of a method's Config used by the loop; a Config is a flat frozen dataclass and may have other fields.

    A Config inherits these fields and gives the defaults that suit it, or has fields of these names itself. Only
    `min_steps` may be missing there.
    """

    classes: int = 8  # number of clusters
    crop: int = 256  # side of the square crop of each image, in pixels; larger than the image = the whole image
    batch: int = 16  # crops in a step, over all processes
    epochs: int = 15  # passes over all images: the default length of the training
    min_steps: int = 200  # minimum, for datasets of few images; --steps and --epochs are exact
    optimizer: str = "adam"  # adam adamw sgd
    learning_rate: float = 1e-3  # maximum learning rate; tune in factors of three
    schedule: str = "cosine"  # of the learning rate: constant cosine one_cycle poly poly_epochs
    warmup: float = 0.0  # share of the training in which the learning rate rises from 0
    momentum: float = 0.9  # of sgd; the first beta of adam and adamw
    weight_decay: float = 0.0  # added to the gradient; with adamw a shrinking of the weights themselves
    grad_clip: float = 5.0  # maximum gradient norm, over all weights; 0 = no clipping


class Method(Protocol):
    """A module with these names is a method."""

    Config: type[Any]  # a flat frozen dataclass with the fields of LoopSettings

    @staticmethod
    def Network(config: Any, channels: int) -> nn.Module:
        """Build the network; frozen state is in buffers, or in parameters without gradient."""

    @staticmethod
    def loss(network: nn.Module, batch: Batch, config: Any) -> Mapping[str, Tensor]:
        """Compute the objective to minimise as "loss", and its terms under other names, for the log.

        Under several processes each holds a part of the batch: the mean of the losses of all must be the loss of
        the whole batch, so that what is not a mean over samples is summed over
        processes (`core/nn/distributed_sums.py`).
        """

    @staticmethod
    def cluster_scores(network: nn.Module, batch: Batch, config: Any) -> Tensor:
        """Compute cluster probabilities of each pixel: (batch, clusters, height, width); sums to one."""


class EmbeddingMethod(Method, Protocol):
    """A method whose clusters are found after training: it has `embeddings` instead of `cluster_scores`."""

    @staticmethod
    def embeddings(network: nn.Module, batch: Batch, config: Any) -> Embedded:
        """Compute a vector and an objectness for each pixel; `unseg cluster` clusters the objects of all images."""


class PretrainedMethod(Method, Protocol):
    """A method that can start from pretrained weights."""

    @staticmethod
    def backbones(network: nn.Module) -> Sequence[nn.Module]:
        """Return the modules that load the same pretrained weights, under the names used in public files.

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
    "finish": "finish(network, batches, config): called after the last step, as `prepare` before the first, for what "
    "can be fitted only then, such as clusters of what was learned. It changes buffers that `loss` does not read: a "
    "model saved on the way is finished too, and its training goes on",
    "image_features": "image_features(network, batch, config): (batch, features), means over the pixels of a "
    "image, for a method that looks at it as a whole: the tiles of a large one are given the mean of theirs",
    "region_vectors": "region_vectors(network, batch, config): (superpixels, dimensions), what the network knows about "
    "each superpixel of the batch, such as the mean over its pixels of the features below the last layer; void is left "
    "out. With it, `unseg cluster --classes N` groups superpixels into any number of clusters, and `unseg probe` "
    "measures what was learned",
    "dense_features": "dense_features(network, batch, config): (batch, dimensions, rows, columns), the features below "
    "the last layers on a grid that covers the image evenly. With it, `unseg probe --per pixel` measures them",
    "ROLE": "what the clusters mean: clusters, or mask where 0 is background and 1 is object; else clusters",
    "needs": "needs(config): names of what the batches of a training must hold beside images: superpixels regions "
    "proposals",
    "REVISION": "raised when the same Config gives other results",
    "SEES_VECTORS": "True if regions may have vectors of a file of features as well. The network is then made by "
    "Network(config, channels, layers): layers are size and weight of the layers that vectors are joined from, () "
    "without such a file; channels are 0 without pixels",
    "SEES_REGIONS": "True if a trained model is applied to superpixels and their features, too, not to pixels alone",
    "MULTIPLE": "sides of the images that the network takes are multiples of this, usually its stride; else 32. If it "
    "is set, crops in training are cut to such sides",
}
