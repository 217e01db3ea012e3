"""Networks that predict one map at full resolution: a small one for two cores, and the mask network of ReDO.

No weights are loaded here; independent of methods.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.networks import convolution, grow, small_trunk

BINS = (1, 2, 3, 6)  # rows and columns of the pooled maps
TRUNK_HALF = 2  # layers of the small trunk at half of the resolution


class Pyramid(nn.Module):
    """Pyramid pooling: the map concatenated with its means over grids of several sizes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in BINS)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, inputs + 4 x outputs, height, width)."""
        coarse = [
            grow(level(functional.adaptive_avg_pool2d(maps, bins)), maps.shape[-2:])
            for bins, level in zip(BINS, self.levels, strict=True)
        ]
        return torch.cat([maps, *coarse], 1)


class FineNetwork(nn.Module):
    """A small trunk with pyramid pooling, and a decoder to full resolution with skip connections."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        trunk, narrow = small_trunk(channels, width), -(-width // 2)
        self.first, self.second = trunk[:TRUNK_HALF], trunk[TRUNK_HALF:]
        self.around = Pyramid(4 * width, width)
        self.narrow = convolution(8 * width, width, 1)
        self.to_half = convolution(2 * width, width)
        self.to_full = convolution(width + channels, narrow)
        self.last = nn.Conv2d(narrow, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Predict one logit per pixel, (batch, 1, height, width), for images (batch, channels, height, width)."""
        logits: Tensor = self.last(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Compute the maps below the last layer: (batch, features, height, width)."""
        half = self.first(images)
        maps = self.narrow(self.around(self.second(half)))
        maps = self.to_half(torch.cat([grow(maps, half.shape[-2:]), half], 1))
        full: Tensor = self.to_full(torch.cat([grow(maps, images.shape[-2:]), images], 1))
        return full


class PyramidNetwork(nn.Module):
    """The mask network of ReDO (Chen, Artieres and Denoyer, NeurIPS 2019), with one map of logits."""

    def __init__(self, channels: int, features: int, blocks: int) -> None:
        super().__init__()
        half, quarter = features // 2, features // 4
        self.start = nn.Sequential(nn.ReflectionPad2d(3), _styled(channels, quarter, 7))
        self.first = _styled(quarter, half, 3, stride=2)
        self.second = _styled(half, features, 3, stride=2, padding=0)
        self.blocks = nn.Sequential(*(StyledResidual(features) for _ in range(blocks)))
        self.around = Pyramid(features, 1)
        self.to_half = _styled(features + len(BINS), half, 3)
        self.to_full = _styled(half, quarter, 3)
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(quarter, 1, 7))

    def forward(self, images: Tensor) -> Tensor:
        """Predict one logit per pixel, (batch, 1, height, width), for images (batch, channels, height, width)."""
        logits: Tensor = self.last(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Compute the maps below the last layer: (batch, features, height, width)."""
        full = self.start(images)
        half = self.first(full)
        # Deviation: padded at the far borders only, so that both halvings move the map by half a pixel and not by 1.5.
        maps = self.around(self.blocks(self.second(functional.pad(half, (0, 2, 0, 2)))))
        maps = self.to_half(functional.interpolate(maps, half.shape[-2:], mode="nearest"))
        found: Tensor = self.to_full(functional.interpolate(maps, full.shape[-2:], mode="nearest"))
        return found


class StyledResidual(nn.Module):
    """A residual block of two convolutions with instance normalisation."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = _styled(features, features, 3)
        self.second = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, bias=False), nn.InstanceNorm2d(features, affine=True)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, features, height, width) to the same shape."""
        result: Tensor = maps + self.second(self.first(maps))
        return result


def _styled(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> nn.Sequential:
    """Convolution, instance normalisation and ReLU; kernels of size 3 are zero-padded, unless `padding` is given."""
    padding = (1 if kernel == 3 else 0) if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(inplace=True),
    )
