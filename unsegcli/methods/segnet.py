"""SegNet, the second stage of IEM: a network trained on given object masks.

Savarese and others, CVPR 2021, train a segmentation network on the masks of IEM. Masks go wrong in a different way
in each image, and a network that sees many of them learns what they have in common. The authors have published
neither the network nor its settings; see docs/methods.md for what is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.draws import Draws
from unsegcli.core.nn.jitter import Strengths, jitter
from unsegcli.core.nn.masknets import FineNetwork, PyramidNetwork
from unsegcli.core.nn.pooling import superpixel_means
from unsegcli.core.nn.warp import SEEN, affine, warp
from unsegcli.errors import ConfigError, not_among
from unsegcli.methods._contract import Batch, LoopSettings

REVISION = 3
ROLE = "mask"
MULTIPLE = 4  # the stride of both networks


@dataclass(frozen=True)
class Config(LoopSettings):
    """Defaults for small data and two cores; what is known of the published network is a preset."""

    classes: int = 2  # background and object; other numbers are not possible
    crop: int = 128  # pixels; larger than the images = whole images
    learning_rate: float = 2e-3  # of Adam; 3e-4 to 3e-3. 15 epochs of 400 images take about 3 minutes on one core
    grad_clip: float = 0.0  # maximum gradient norm; 0 = no clipping

    architecture: str = "small"  # small, with fine detail, or pyramid: the mask network of ReDO
    width: int = 16  # channels of the first layer, a quarter of those at a quarter of the resolution; 8 to 32
    blocks: int = 3  # of pyramid: residual blocks at a quarter of the resolution
    trust: float = 1.0  # an image counts by its mask's confidence to this power; 0 = all alike; 0 to 4
    bootstrap: float = 0.0  # share of the network's own answer in what it learns, rising from 0 to this; below 1

    zoom: float = 0.25  # enlarged or made smaller by up to this share, and moved; 0 to 1
    flip: bool = True  # half of the crops are mirrored
    brightness: float = 0.2  # strength, 0 to 1
    contrast: float = 0.2  # strength, 0 to 1
    saturation: float = 0.2  # strength, 0 to 1
    hue: float = 0.02  # share of the colour circle, at most 0.5
    bands: float = 0.0  # factor for each band by itself, for bands that are not colours


class Network(nn.Module):
    """A network that predicts for each pixel the logit of the probability that it belongs to an object."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.drawing = _drawing(config, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Predict logits (batch, height, width) for images (batch, channels, height, width)."""
        logits: Tensor = self.drawing(images)
        return logits[:, 0].float()

    def features(self, images: Tensor) -> Tensor:
        """Compute what the logits are predicted from: (batch, features, height, width)."""
        maps: Tensor = self.drawing.features(images)
        return maps


def needs(config: Config) -> tuple[str, ...]:
    """Return that training needs object masks."""
    return ("proposals",)


def loss(network: nn.Module, batch: Batch, config: Config) -> Mapping[str, Tensor]:
    """Binary cross entropy against the masks: mean over valid pixels of each crop, then weighted mean over crops."""
    images, wanted, valid = _seen(batch, config)
    logits = network(images)
    own = (logits.detach() > 0).to(logits.dtype)
    share = config.bootstrap * batch.progress
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted.lerp(own, share), reduction="none")
    total = (_weights(batch, config, logits) * _mean(entropy, valid)).mean()
    differs = _mean((own != wanted).to(logits.dtype), valid).mean()
    return {"loss": total, "differs": differs}


def cluster_scores(network: nn.Module, batch: Batch, config: Config) -> Tensor:
    """Predict probabilities of background and object: (batch, 2, height, width)."""
    probability = network(batch.images).sigmoid()
    return torch.stack([1 - probability, probability], 1)


def region_vectors(network: Network, batch: Batch, config: Config) -> Tensor:
    """Average the features below the last layer over each superpixel: (superpixels, features)."""
    assert batch.superpixels is not None
    return superpixel_means(dense_features(network, batch, config), batch.superpixels, batch.superpixel_count)


def dense_features(network: Network, batch: Batch, config: Config) -> Tensor:
    """Compute the features below the last layer: (batch, features, height, width)."""
    return network.features(batch.images).float()


def _seen(batch: Batch, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Augment images, their masks (0 and 1) and valid pixels, the latter two (batch, height, width)."""
    if batch.proposals is None:
        raise ConfigError("segnet needs object masks, but the batch has none")
    draws = Draws(batch.seed, batch.step, batch.index)
    dtype = batch.images.dtype
    valid = torch.ones_like(batch.images[:, 0]) if batch.mask is None else batch.mask.to(dtype)
    changed = jitter(
        batch.images,
        draws,
        "light",
        Strengths(
            brightness=config.brightness,
            contrast=config.contrast,
            saturation=config.saturation,
            hue=config.hue,
            bands=config.bands,
        ),
        valid=batch.mask,
    )
    matrices = _places(draws, config)
    moved = warp(torch.cat([changed, valid[:, None]], 1), matrices)
    masks = warp(batch.proposals.to(dtype)[:, None], matrices, nearest=True)[:, 0]
    still_valid = (moved[:, -1] > SEEN).to(dtype)
    return moved[:, :-1] * still_valid[:, None], masks, still_valid


def _places(draws: Draws, config: Config) -> Tensor:
    """Draw random affine transformations of crops: matrices (batch, 2, 3)."""
    scale = (1 + config.zoom) ** draws.uniform("zoom", low=-1.0, high=1.0)
    room = (1 - 1 / scale).abs() / 2  # from the centre to where a border of the one meets that of the other
    shift = draws.uniform("place", 2, low=-1.0, high=1.0) * room[:, None]
    mirrored = draws.integers("flip", below=2).bool() & config.flip
    still = torch.zeros_like(scale)
    return affine(still, scale, shift, still, mirrored)


def _weights(batch: Batch, config: Config, like: Tensor) -> Tensor:
    """Compute the weight of each crop: (batch,)."""
    if batch.confidence is None:
        return like.new_ones(len(like))
    return batch.confidence.to(like.dtype) ** config.trust


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Average over the valid pixels of each crop (batch, height, width): (batch,); 0 if there are none."""
    return (values * valid).sum((1, 2)) / valid.sum((1, 2)).clamp_min(1)


def _drawing(config: Config, channels: int) -> FineNetwork | PyramidNetwork:
    if config.architecture == "small":
        return FineNetwork(channels, config.width)
    if config.architecture == "pyramid":
        return PyramidNetwork(channels, 4 * config.width, config.blocks)
    raise ConfigError(not_among("architecture", config.architecture, ("small", "pyramid")))
