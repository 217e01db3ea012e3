"""Invariant information clustering (IIC): maximise the mutual information between two views of an image.

Ji, Henriques and Vedaldi, ICCV 2019. A network gives each pixel a distribution over clusters; the loss is minus the
mutual information of the distributions at nearby pixels of an image and of its recoloured, mirrored copy. A second
head with more clusters than are wanted (A) helps the trunk; only the other one (B) is used afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.draws import Draws
from unsegcli.core.nn.information import displaced_information, displacement_joints
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.nn.networks import BatchNorm, grow, small_trunk
from unsegcli.core.nn.pooling import superpixel_means
from unsegcli.core.nn.sobel import with_edges
from unsegcli.errors import ConfigError, not_among
from unsegcli.methods._contract import Batch, LoopSettings

REVISION = 3
MULTIPLE = 8  # the stride of the default network
NET10A = ((64, 128), (256, 256, 512, 512))  # channels before and after the only halving; the last two are dilated
COLOURS = 3
RING = 2  # positions that the maps of the trunk lose on each side with `border_ring`


@dataclass(frozen=True)
class Config(LoopSettings):
    """Defaults for small data and two cores; the published values are presets."""

    # Published, where the defaults of the loop stand: learning_rate 1e-6 to 1e-4, schedule constant, batch 8 to 120.
    crop: int = 192  # pixels; published: 128 (COCO-Stuff), 200 (Potsdam)
    epochs: int = 60  # passes over all images; 200 to 250 images take about 4 minutes on one core
    grad_clip: float = 0.0  # maximum gradient norm; 0 = no clipping

    architecture: str = "small"  # small, or net10a as published
    shrink: int = 2  # downsampling factor of the input, by averaging; published: 1
    width: int = 16  # of small: channels of its first layer, a quarter of the last one's; 16 to 64
    sobel: bool = False  # add two bands of Sobel edges to the colours; published: yes on COCO-Stuff, no on Potsdam
    overclusters: int = 24  # of head A; 3 to 8 times `classes`; 0 = no head A
    balance: float = 1.0  # lambda of head B; 1 = mutual information, 1.5 = clusters of more equal size
    balance_overclusters: float = 1.0  # lambda of head A
    reach: int = 1  # T, largest displacement in pixels of the loss's maps; published: 5 or 10; 0 to 10
    full_resolution: bool = False  # compare maps of the image's size, as published; else of the network's own
    alternate: bool = False  # one head in each epoch, A first, as published; else both in every step
    border_ring: bool = False  # the published network's border: dilated layers shrink the map, heads pad it with zeros

    # Second view, strength of each change; 0 to 1. Published: 0.1 (Potsdam) and 0.4 (COCO-Stuff). Information removed
    # here cannot be learnt from: with 0.4 and hue 0.1, dubai came to mIoU .28 where these come to .40.
    brightness: float = 0.1  # strength, 0 to 1
    contrast: float = 0.1  # strength, 0 to 1
    saturation: float = 0.1  # strength, 0 to 1
    hue: float = 0.02  # share of the colour circle, at most 0.5; published: 0.1 and 0.125
    bands: float = 0.0  # factor for each band by itself, for bands that are not colours
    jitter_colours_only: bool = False  # bands after the third are not changed, as published for infrared
    flip: bool = True  # half of the second views are mirrored


class Network(nn.Module):
    """A trunk and two heads of one 1x1 convolution each."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        bands = channels + 2 if config.sobel else channels
        self.shrink, self.sobel, self.full_resolution = config.shrink, config.sobel, config.full_resolution
        self.trunk, features = _trunk(config, bands)
        self.head_a = _head(features, config.overclusters, config) if config.overclusters else None
        self.head_b = _head(features, config.classes, config)
        if config.architecture == "net10a":
            self.apply(_start_as_published)

    def forward(self, images: Tensor, heads: str = "ab") -> dict[str, Tensor]:
        """Compute the probabilities of the requested heads, by letter: (batch, clusters, rows, columns).

        As large as `images` (batch, channels, height, width) with `full_resolution`, else as the network's own maps.
        """
        shape = images.shape[-2:]
        features = self.features(images)
        found = {"a": self.head_a, "b": self.head_b}
        maps = {
            letter: head(features).float().softmax(1)
            for letter, head in found.items()
            if head is not None and letter in heads
        }
        if self.full_resolution:
            maps = {letter: grow(map_of_head, shape) for letter, map_of_head in maps.items()}
        return maps

    def features(self, images: Tensor) -> Tensor:
        """Features (batch, features, rows, columns) of the trunk."""
        if self.shrink > 1:
            images = functional.avg_pool2d(images, self.shrink, ceil_mode=True)
        maps: Tensor = self.trunk(with_edges(images) if self.sobel else images)
        return maps


def loss(network: nn.Module, batch: Batch, config: Config) -> Mapping[str, Tensor]:
    """Compute equation 5 of the paper over both heads; the minimum is minus the sum of log clusters."""
    heads = _heads_of(batch.epoch, config)
    draws = Draws(batch.seed, batch.step, batch.index)
    copies, mirrored = _second_view(batch, draws, config)
    # Separate passes for both views, each with its own batch statistics, as published.
    first, second = network(batch.images, heads), network(copies, heads)
    balances = {"a": config.balance_overclusters, "b": config.balance}
    terms = {}
    for letter in first:
        back = torch.where(mirrored[:, None, None, None], second[letter].flip(3), second[letter])
        joints = displacement_joints(first[letter], back, _mask(batch, first[letter]), config.reach)
        terms[f"head_{letter}"] = displaced_information(joints, balances[letter])
    total = torch.stack(list(terms.values())).sum()
    return {"loss": total, **{name: term.detach() for name, term in terms.items()}}


def cluster_scores(network: nn.Module, batch: Batch, config: Config) -> Tensor:
    """Return the probabilities of head B: (batch, classes, height, width)."""
    maps: Tensor = network(batch.images, "b")["b"]
    return grow(maps, batch.images.shape[-2:])


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Average the features of the trunk over each superpixel: (superpixels, features)."""
    assert batch.superpixels is not None
    return superpixel_means(dense_features(network, batch, config), batch.superpixels, batch.superpixel_count)


def dense_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute the features of the trunk: (batch, features, rows, columns)."""
    maps = network.features(batch.images).float()
    return functional.pad(maps, (RING, RING, RING, RING), "replicate") if config.border_ring else maps


def _heads_of(epoch: int, config: Config) -> str:
    if not config.overclusters:
        return "b"
    if not config.alternate:
        return "ab"
    return "ab"[epoch % 2]


def _second_view(batch: Batch, draws: Draws, config: Config) -> tuple[Tensor, Tensor]:
    """Make the second view, and return which images are mirrored: (batch,), bool."""
    bands = COLOURS if config.jitter_colours_only else batch.images.shape[1]
    changed = jitter(
        batch.images[:, :bands],
        draws,
        "second view",
        Strengths(
            brightness=config.brightness,
            contrast=config.contrast,
            saturation=config.saturation,
            hue=config.hue,
            bands=config.bands,
        ),
        valid=batch.mask,
    )
    copies = torch.cat([changed, batch.images[:, bands:]], 1)
    mirrored = draws.integers("flip", below=2).bool() & config.flip
    return torch.where(mirrored[:, None, None, None], copies.flip(3), copies), mirrored


def _mask(batch: Batch, maps: Tensor) -> Tensor | None:
    """Compute the share of valid pixels under each pixel of the maps: (batch, rows, columns)."""
    if batch.mask is None:
        return None
    share: Tensor = functional.interpolate(batch.mask[:, None].to(maps.dtype), tuple(maps.shape[-2:]), mode="area")
    return share[:, 0]


def _trunk(config: Config, bands: int) -> tuple[nn.Module, int]:
    """Return the trunk and its number of features."""
    if config.architecture == "small":
        return small_trunk(bands, config.width), 4 * config.width
    if config.architecture == "net10a":
        return _net10a(bands, config.border_ring), NET10A[1][-1]
    raise ConfigError(not_among("architecture", config.architecture, ("small", "net10a")))


def _net10a(bands: int, border_ring: bool) -> nn.Sequential:
    """Build the published trunk of stride 2; with `border_ring` its maps lose two pixels on each side."""
    layers: list[nn.Module] = []
    before, after = NET10A
    for number, features in enumerate(before + after):
        if number == len(before):
            layers.append(nn.MaxPool2d(2, 2))
        dilation = 2 if features == after[-1] else 1
        padding = 1 if border_ring else dilation
        layers += [nn.Conv2d(bands, features, 3, 1, padding, dilation, bias=False), BatchNorm(features)]
        layers.append(nn.ReLU(inplace=True))
        bands = features
    return nn.Sequential(*layers)


def _head(features: int, clusters: int, config: Config) -> nn.Conv2d:
    """Build a head as published: without bias, and zero-padded, where all clusters are equally probable."""
    return nn.Conv2d(features, clusters, 1, padding=1 if config.border_ring else 0, bias=False)


def _start_as_published(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
