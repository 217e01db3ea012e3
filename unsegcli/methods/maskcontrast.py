"""MaskContrast: contrast each pixel of an object with the same object in another view and with other objects.

Van Gansbeke, Vandenhende, Georgoulis and Van Gool, ICCV 2021. It learns from given object masks, one
per image, a vector and an objectness for each pixel. Clusters are found after training, by clustering the vectors of
objects. Each choice of ours is marked `Deviation:` and listed in docs/methods.md.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.draws import Draws
from unsegcli.core.nn.backbones import EARLY, Backbone, ResNet, make_backbone
from unsegcli.core.nn.contrast import balanced_entropy, object_means, pixel_contrast
from unsegcli.core.nn.crops import random_boxes, resized, resized_masks, shares
from unsegcli.core.nn.deeplab import DeepLabHead
from unsegcli.core.nn.distributed_sums import gathered
from unsegcli.core.nn.jitter import Strengths, jitter, lightness
from unsegcli.core.nn.networks import grow
from unsegcli.core.nn.pooling import superpixel_means
from unsegcli.core.nn.shrinking import at_middles
from unsegcli.errors import ConfigError
from unsegcli.methods._contract import Batch, Embedded, LoopSettings
from unsegcli.methods._same_image import UNKNOWN, image_numbers, warn_of_single_image

RATES = {"small": (2, 4, 6), 8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}  # of the head: small, else by the stride
REVISION = 4
LEAST, MOST = 0.01, 0.99  # share of a view that its mask covers
RATIO = (3 / 4, 4 / 3)  # width over height of a view's crop
COLOUR_BANDS = (3, 4)  # band counts for which the first three bands are colours


@dataclass(frozen=True)
class Config(LoopSettings):
    """Defaults for small data and two cores; the published values are presets."""

    # Clusters are found after training: `classes` of them, unless `unseg cluster` is given another number.
    # Published, where the defaults of the loop stand: batch 64, 128; optimizer sgd, learning_rate 0.004,
    # schedule poly_epochs, weight_decay 1e-4, grad_clip 0.
    crop: int = 320  # pixels; both views are parts of this crop of an image; larger than the images = whole images
    epochs: int = 60  # passes over all images; published: 40

    architecture: str = "small"  # small resnet18 resnet34 resnet50; published: resnet50
    width: int = 16  # of small: channels of its first layer, an eighth of the last one's; 8 to 64
    stride: int = 8  # stride of the network: 4 or 8 (small); 8, as published, 16 or 32 (resnet)
    head: int = 64  # features of the DeepLab head; published: 256
    dropout: float = 0.0  # dropout of the features of the head; published: 0.5
    freeze: bool = False  # freeze the first half of a resnet; published: yes with weights from ImageNet's labels

    dimensions: int = 32  # of a pixel's vector; published: 32
    queue: int = 128  # objects of earlier steps used as negatives; published: 128, 256
    temperature: float = 0.1  # divisor of cosines; published: 0.5
    average: float = 0.99  # momentum of the second network; published: 0.999
    contrast: float = 1.0  # weight of the contrast; published: 1
    saliency: float = 1.0  # weight of the saliency loss; published: 1
    full_resolution: bool = False  # compare pixels of the views, as published; else of the network's maps

    view: int = 128  # side of the views in pixels; published: 224
    smallest: float = 0.2  # minimum area of a view, as a share of the image area; published: 0.2
    tries: int = 10  # pairs of views drawn until the mask covers 1 to 99 % of both; published: 4, then another image
    flip: bool = True  # half of the views are mirrored
    jittered: float = 0.8  # share of the views whose light and colours are changed
    brightness: float = 0.4  # strength, 0 to 1
    brightness_contrast: float = 0.4  # strength of changes of contrast, 0 to 1
    saturation: float = 0.2  # strength, 0 to 1; published: 0.4
    hue: float = 0.02  # share of the colour circle, at most 0.5; published: 0.1
    bands: float = 0.0  # factor for each band by itself, for bands that are not colours; not published
    grey: float = 0.0  # share of the views without colour; published: 0.2
    zoom: float = 1.0  # of images when the model is used; below 1 if objects are larger there than in the views


class Encoder(nn.Module):
    """A backbone and a head that predicts a vector and an objectness for each position."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.backbone = make_backbone(config.architecture, channels, config.width, config.stride)
        rates = RATES["small" if config.architecture == "small" else config.stride]
        self.head = DeepLabHead(self.backbone.features, config.head, rates)
        self.vectors = nn.Conv2d(config.head, config.dimensions, 1)
        self.objectness = nn.Conv2d(config.head, 1, 1, bias=False)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute vectors (batch, dimensions, rows, columns) and logits of objects (batch, 1, rows, columns)."""
        maps = self.features(images, keep)
        return self.vectors(maps).float(), self.objectness(maps).float()

    def features(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Compute what both are computed from: (batch, head, rows, columns)."""
        maps: Tensor = self.head(self.backbone(images), keep)
        return maps


class Network(nn.Module):
    """The trained network, a momentum copy of it, and a queue of objects of earlier steps."""

    queue: Tensor  # (objects, dimensions), of length 1
    queue_images: Tensor  # (objects,) numbers of their images
    next: Tensor  # the row of the queue that is replaced next
    found: tuple[Tensor, Tensor] | None = None  # objects of this step that are usable, for the queue, and their images

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.query = Encoder(config, channels)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.frozen = [*_frozen(self.query.backbone), *_frozen(self.key.backbone)] if config.freeze else []
        for part in self.frozen:
            part.requires_grad_(False)
        self.register_buffer("queue", functional.normalize(torch.randn(config.queue, config.dimensions), dim=1))
        self.register_buffer("queue_images", torch.full((config.queue,), UNKNOWN))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply the trained network."""
        found: tuple[Tensor, Tensor] = self.query(images, keep)
        return found

    def train(self, mode: bool = True) -> Network:
        """Set the training mode, except that frozen layers of both networks keep their batch statistics."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    @torch.no_grad()
    def follow(self, average: float) -> None:
        """Update the momentum network; its batch statistics are its own, as published."""
        for slow, quick in zip(self.key.parameters(), self.query.parameters(), strict=True):
            slow.lerp_(quick, 1 - average)

    @torch.no_grad()
    def enqueue(self, objects: Tensor, images: Tensor) -> None:
        """Replace the oldest objects by new ones (count, dimensions) of some images (count,).

        If there are too many, the last ones are kept.
        """
        size = len(self.queue)
        if not size:
            return
        rows = (self.next + torch.arange(len(objects), device=self.queue.device)) % size
        self.queue[rows[-size:]] = objects[-size:].to(self.queue.dtype)
        self.queue_images[rows[-size:]] = images[-size:]
        self.next.copy_((self.next + len(objects)) % size)


class View(NamedTuple):
    """An augmented crop of each image."""

    images: Tensor  # (batch, channels, side, side)
    objects: Tensor  # (batch, side, side), bool
    valid: Tensor  # (batch, side, side), bool


def needs(config: Config) -> tuple[str, ...]:
    """Return that training needs object masks."""
    return ("proposals",)


def prepare(network: nn.Module, batches: Iterator[Batch], config: Config) -> None:
    """Warn of a single image, which has no negatives."""
    warn_of_single_image(batches)


def loss(network: nn.Module, batch: Batch, config: Config) -> Mapping[str, Tensor]:
    """Compute the contrastive loss of the first view's pixels with the second view's objects, and the saliency loss."""
    assert isinstance(network, Network)
    draws = Draws(batch.seed, batch.step, batch.index)
    first, second = two_views(batch, draws, config)
    vectors, logits = _encoded(network, first, draws, "first", config)
    with torch.no_grad():
        keys, _ = _encoded(network.key, second, draws, "second", config)
    with torch.autocast(batch.images.device.type, enabled=False):
        size = (vectors.shape[2], vectors.shape[3])
        objects, others = (at_middles(view.objects, size) for view in (first, second))
        usable = gathered(objects.any((1, 2)) & others.any((1, 2)))
        means = gathered(object_means(keys, others))
        images = gathered(image_numbers(batch))
        known = torch.full_like(images, UNKNOWN) if batch.image_numbers is None else images
        network.found = (means[usable], known[usable])
        same = _same_image(batch, images, network.queue_images)
        contrast = pixel_contrast(vectors, objects, means, usable, network.queue, config.temperature, same)
        saliency = balanced_entropy(logits[:, 0], objects, at_middles(first.valid, size))
    total = config.contrast * contrast + config.saliency * saliency
    return {"loss": total, "contrast": contrast.detach(), "saliency": saliency.detach()}


def after_step(network: nn.Module, batch: Batch, config: Config) -> None:
    """Update the momentum network, and add the objects of this step to the queue.

    Published: the momentum network is updated at the beginning of the next step, which is equivalent.
    """
    assert isinstance(network, Network)
    network.follow(config.average)
    if network.found is not None:
        network.enqueue(*network.found)
        network.found = None


def _same_image(batch: Batch, others: Tensor, queued: Tensor) -> Tensor:
    """Return which objects of all crops and of the queue are of the image of each crop: (batch, all + queue)."""
    own = image_numbers(batch)[:, None]
    return torch.cat([own == others, own == queued], 1)


def embeddings(network: nn.Module, batch: Batch, config: Config) -> Embedded:
    """Compute a vector and an objectness for each pixel."""
    shape = batch.images.shape[2:]
    vectors, logits = network(_zoomed(batch.images, config))
    return Embedded(grow(vectors, shape), grow(logits, shape)[:, 0])


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Average the directions of the vectors over each superpixel: (superpixels, dimensions)."""
    assert batch.superpixels is not None
    vectors, _ = network(_zoomed(batch.images, config))
    return superpixel_means(functional.normalize(vectors, dim=1), batch.superpixels, batch.superpixel_count)


def dense_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute the features of the DeepLab head, on which both outputs are computed: (batch, head, rows, columns)."""
    return network.query.features(_zoomed(batch.images, config)).float()


def backbones(network: nn.Module) -> Sequence[nn.Module]:
    """Return the modules that can load pretrained weights."""
    assert isinstance(network, Network)
    return network.query.backbone, network.key.backbone


def two_views(batch: Batch, draws: Draws, config: Config) -> tuple[View, View]:
    """Draw two views of each image that both contain part of its object, within the given number of tries."""
    if batch.proposals is None:
        raise ValueError("the batch has no object masks")
    extents = _extents(batch)
    whole = functional.pad(extents, (2, 0))
    candidates = [
        random_boxes(draws, purpose, extents, config.tries, (config.smallest, 1.0), RATIO)
        for purpose in ("first view", "second view")
    ]
    # Deviation: the last resort is the whole image, not another image, which a method cannot reach.
    pairs = torch.stack([torch.cat([boxes, whole[:, None]], 1) for boxes in candidates], 2)  # (batch, tries, 2, 4)
    covered = shares(batch.proposals, pairs.flatten(1, 2)).unflatten(1, (-1, 2))
    good = ((covered >= LEAST) & (covered <= MOST)).all(2)
    good[:, -1] = True
    chosen = pairs[torch.arange(len(pairs), device=pairs.device), good.int().argmax(1)]
    first, second = (
        _view(batch, batch.proposals, chosen[:, at], draws, purpose, config)
        for at, purpose in enumerate(("first", "second"))
    )
    return first, second


def _extents(batch: Batch) -> Tensor:
    """Return the height and width (batch, 2) of images without their padding at the lower and right border."""
    sides = torch.tensor(batch.images.shape[2:], device=batch.images.device)
    if batch.place is None:
        return sides.expand(len(batch.images), 2)
    shown = (sides / batch.place[:, 2:].to(sides.device).clamp_min(1)).round().long()
    return torch.minimum(shown, sides).clamp_min(1)


def _view(batch: Batch, objects: Tensor, boxes: Tensor, draws: Draws, purpose: str, config: Config) -> View:
    images = resized(batch.images, boxes, config.view)
    objects = resized_masks(objects, boxes, config.view)
    valid = torch.ones_like(objects) if batch.mask is None else resized_masks(batch.mask, boxes, config.view)
    images = _recoloured(images, valid, draws, purpose, config)
    mirrored = draws.integers(f"{purpose} flip", below=2).bool() & config.flip
    return View(*(torch.where(_spread(mirrored, part), part.flip(-1), part) for part in (images, objects, valid)))


def _recoloured(images: Tensor, valid: Tensor, draws: Draws, purpose: str, config: Config) -> Tensor:
    changed = jitter(
        images,
        draws,
        purpose,
        Strengths(
            brightness=config.brightness,
            contrast=config.brightness_contrast,
            saturation=config.saturation,
            hue=config.hue,
            bands=config.bands,
        ),
        valid=valid,
    )
    chosen = draws.uniform(f"{purpose} chosen", 2)
    images = images * valid[:, None]  # at its edge, void is no longer black
    images = torch.where(_spread(chosen[:, 0] < config.jittered, images), changed, images)
    if images.shape[1] not in COLOUR_BANDS:
        return images
    grey = torch.cat([lightness(images[:, :3]).expand(-1, 3, -1, -1), images[:, 3:]], 1)
    return torch.where(_spread(chosen[:, 1] < config.grey, images), grey, images)


def _spread(chosen: Tensor, like: Tensor) -> Tensor:
    """Reshape (batch,) to the number of axes of another tensor."""
    return chosen.view(-1, *[1] * (like.ndim - 1))


def _encoded(encoder: nn.Module, view: View, draws: Draws, purpose: str, config: Config) -> tuple[Tensor, Tensor]:
    """Compute vectors and logits of a view, at the resolution of the network's maps or of the view."""
    keep = None
    if config.dropout:
        side = -(-config.view // config.stride)
        keep = draws.kept(f"{purpose} dropout", config.dropout, config.head, side, side)
    vectors, logits = encoder(view.images, keep)
    if not config.full_resolution:
        return vectors, logits
    return grow(vectors, view.images.shape[2:]), grow(logits, view.images.shape[2:])


def _zoomed(images: Tensor, config: Config) -> Tensor:
    """Resize images to the size at which the model is used."""
    if config.zoom == 1:
        return images
    size = [max(1, round(side * config.zoom)) for side in images.shape[2:]]
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def _frozen(backbone: Backbone) -> list[nn.Module]:
    if not isinstance(backbone, ResNet):
        raise ConfigError("freeze: needs a resnet with pretrained weights")
    return [backbone.get_submodule(name) for name in EARLY]
