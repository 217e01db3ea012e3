"""Networks that turn images into maps of features at an eighth or so of their resolution.

Stages beyond that resolution do not shrink the map; their convolutions are spread instead (dilated).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from unsegcli.core.nn.networks import BatchNorm, Residual, convolution
from unsegcli.errors import ConfigError

RESNETS = ("resnet18", "resnet34", "resnet50")
STRIDES = {"small": (4, 8), **dict.fromkeys(RESNETS, (8, 16, 32))}
EARLY = ("conv1", "bn1", "layer1", "layer2")  # the part of a ResNet that may be frozen
COLOURS = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))  # mean and spread that published weights expect


class Backbone(nn.Module):
    """A network, the number of its features, and by how much it shrinks an image."""

    architecture: str
    features: int
    stride: int


class Small(Backbone):
    """A network for two cores: 8 x `width` features."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.architecture, self.features, self.stride = "small", 8 * width, stride
        third = {"stride": 2} if stride == 8 else {"dilation": 2}
        last = 2 if stride == 8 else 4
        self.layers = nn.Sequential(
            convolution(channels, width, stride=2),
            Residual(width, 2 * width, stride=2),
            Residual(2 * width, 4 * width, **third),
            Residual(4 * width, 8 * width, dilation=last),
            Residual(8 * width, 8 * width, dilation=last),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width), values from 0 to 1, to (batch, features, rows, columns)."""
        maps: Tensor = self.layers((images - 0.5) / 0.25)
        return maps


class ResNet(Backbone):
    """A ResNet of torchvision without its classifier; its weights have the names that they have there."""

    def __init__(self, architecture: str, channels: int, stride: int) -> None:
        super().__init__()
        self.architecture, self.stride = architecture, stride
        whole = _torchvision().resnet.__dict__[architecture](weights=None, norm_layer=BatchNorm)
        self.features = int(whole.fc.in_features)
        self.conv1 = whole.conv1 if channels == len(COLOURS) else nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        if stride <= 16:
            spread(self.layer4, 32 // stride)
        if stride <= 8:
            spread(self.layer3, 16 // stride)
        colours = COLOURS if channels == len(COLOURS) else ((0.5, 0.25),) * channels
        self.colours = tuple(colours)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width), values from 0 to 1, to (batch, features, rows, columns)."""
        mean, deviation = images.new_tensor(self.colours).T[:, :, None, None]
        maps = self.maxpool(self.relu(self.bn1(self.conv1((images - mean) / deviation))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)
        result: Tensor = maps
        return result


def make_backbone(architecture: str, channels: int, width: int, stride: int) -> Backbone:
    """A network of the name; `width` is for the small one."""
    if architecture not in STRIDES:
        raise ConfigError(f"architecture {architecture}: is not one of {', '.join(STRIDES)}")
    if stride not in STRIDES[architecture]:
        raise ConfigError(f"stride {stride}: is not one of {', '.join(map(str, STRIDES[architecture]))}")
    if architecture == "small":
        return Small(channels, width, stride)
    return ResNet(architecture, channels, stride)


def spread(layer: nn.Module, dilation: int) -> None:
    """Let a stage of a ResNet keep the size of its map, and see as far as before.

    What lies before the step that is left out keeps half of the dilation: the 3x3 convolutions of the first block.
    """
    for number, block in enumerate(layer.children()):
        own = dilation if number else dilation // 2
        for filters in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
            filters.stride = (1, 1)
            if filters.kernel_size == (3, 3):
                filters.dilation = filters.padding = (own, own)


def _torchvision() -> Any:
    """The models of torchvision, which is loaded only where one is asked for."""
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # a build for another torch fails with the latter
        raise ConfigError(
            f"torchvision cannot be loaded ({error}): install the build that belongs to your torch, or take "
            "architecture=small"
        ) from error
