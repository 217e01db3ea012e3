"""Backbones: networks that compute feature maps, usually at an eighth of the image resolution.

Later stages use dilated convolutions instead of reducing the resolution further.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.networks import BatchNorm, Residual, convolution
from unsegcli.errors import ConfigError, not_among

RESNETS = ("resnet18", "resnet34", "resnet50")
STRIDES = {"small": (4, 8), **dict.fromkeys(RESNETS, (8, 16, 32))}
EARLY = ("conv1", "bn1", "layer1", "layer2")  # the part of a ResNet that may be frozen
FIRST_PADDING = 3  # of the first convolution of a ResNet
COLOURS = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))  # mean and standard deviation expected by published weights


class Backbone(nn.Module):
    """A network, its number of features, and its stride."""

    architecture: str
    features: int
    stride: int


class Small(Backbone):
    """A small network for two cores with 8 x `width` features."""

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
    """A torchvision ResNet without its classifier; weights have the same names as in torchvision."""

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
        # Odd kernels centre output i on pixel stride x i; `grow` takes it for the middle of `stride` pixels.
        first = FIRST_PADDING - (self.stride - 1) // 2
        padded = functional.pad((images - mean) / deviation, (first, 2 * FIRST_PADDING - first) * 2)
        maps = self.maxpool(self.relu(self.bn1(functional.conv2d(padded, self.conv1.weight, stride=2))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)
        result: Tensor = maps
        return result


def make_backbone(architecture: str, channels: int, width: int, stride: int) -> Backbone:
    """Build a network by name; `width` applies to the small one only."""
    if architecture not in STRIDES:
        raise ConfigError(not_among("architecture", architecture, list(STRIDES)))
    if stride not in STRIDES[architecture]:
        raise ConfigError(f"stride {stride}: is not one of {', '.join(map(str, STRIDES[architecture]))}")
    if architecture == "small":
        return Small(channels, width, stride)
    return ResNet(architecture, channels, stride)


def spread(layer: nn.Module, dilation: int) -> None:
    """Replace the stride of a ResNet stage by dilation.

    The 3x3 convolution of the first block, before the removed stride, gets half of the dilation.
    """
    for number, block in enumerate(layer.children()):
        own = dilation if number else dilation // 2
        for filters in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
            filters.stride = (1, 1)
            if filters.kernel_size == (3, 3):
                filters.dilation = filters.padding = (own, own)


def _torchvision() -> Any:
    """Import `torchvision.models` on first use."""
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # a build for another torch raises RuntimeError
        raise ConfigError(
            f"torchvision cannot be loaded ({error}): install the build for your version of torch, or use "
            "architecture=small"
        ) from error
