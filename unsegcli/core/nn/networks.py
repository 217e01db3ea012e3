"""Building blocks of networks: residual blocks, synchronised batch normalisation, and a small network for two cores.

No weights are loaded here; independent of methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import ranks, summed


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with statistics of the whole batch, over all processes."""

    still = False  # whether running statistics are frozen; see `still_statistics`

    def forward(self, images: Tensor) -> Tensor:
        """Normalise (batch, channels, height, width)."""
        if not self.training:
            return super().forward(images)
        if ranks() == 1:
            running = (None, None) if self.still else (self.running_mean, self.running_var)
            momentum = 0.1 if self.momentum is None else self.momentum
            return functional.batch_norm(images, *running, self.weight, self.bias, True, momentum, self.eps)
        return self._over_ranks(images)

    def _over_ranks(self, images: Tensor) -> Tensor:
        values = images.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        sums = summed(torch.cat([values.sum((0, 2, 3)), (values**2).sum((0, 2, 3)), count]))
        total = sums[-1]
        mean, squares = (sums[:-1] / total).chunk(2)
        variance = (squares - mean**2).clamp_min(0)
        if not self.still and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                share = 0.1 if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * total / (total - 1), share)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
            shift = self.bias - mean * scale
        else:
            shift = -mean * scale
        result = values * scale[:, None, None] + shift[:, None, None]
        return result.to(images.dtype)


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by the current batch without updating running statistics: for passes over perturbed images."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    before = [norm.still for norm in norms]
    for norm in norms:
        norm.still = True
    try:
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.still = was


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU; with stride 2 a kernel of 3 becomes one of 4, see `Halving`."""
    if stride == 1:
        layer: nn.Conv2d = nn.Conv2d(inputs, outputs, kernel, 1, dilation * (kernel // 2), dilation, bias=False)
    else:
        layer = Halving(inputs, outputs, kernel + 1)
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU(inplace=True))


class Halving(nn.Conv2d):
    """A convolution of stride 2 with an even kernel, so that output i is centred between inputs 2i and 2i + 1.

    An odd kernel would centre it on input 2i, half a pixel before the place that `grow` and `at_middles` take it for.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 4) -> None:
        super().__init__(inputs, outputs, kernel, 2, kernel // 2 - 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs, height / 2, width / 2), rounded up."""
        odd = (images.shape[3] % 2, images.shape[2] % 2)
        if any(odd):
            images = functional.pad(images, (0, odd[0], 0, odd[1]))
        return super().forward(images)


def widened(kernel: Tensor, like: Tensor) -> Tensor:
    """Return the odd kernel of an older model as the even one of `Halving`, for the same result; else the kernel."""
    if kernel.dim() != 4 or kernel.shape[:2] != like.shape[:2] or kernel.shape[3] + 1 != like.shape[3]:
        return kernel
    return functional.pad(kernel, (0, 1, 0, 1))


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride, dilation)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False), BatchNorm(outputs)
        )
        self.around: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            way = nn.Conv2d(inputs, outputs, 1, bias=False) if stride == 1 else Halving(inputs, outputs, 2)
            self.around = nn.Sequential(way, BatchNorm(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs, height / stride, width / stride)."""
        result: Tensor = functional.relu(self.second(self.first(images)) + self.around(images))
        return result


def small_trunk(channels: int, width: int) -> nn.Sequential:
    """A small network for two cores: stride 4, 4 x `width` features, receptive field of about 75 pixels around."""
    return nn.Sequential(
        convolution(channels, width, stride=2),
        convolution(width, width),
        Residual(width, 2 * width, stride=2),
        Residual(2 * width, 4 * width),
        Residual(4 * width, 4 * width, dilation=2),
    )


def grow(images: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resize (batch, channels, height, width) bilinearly to a size (height, width)."""
    if images.shape[-2:] == torch.Size(size):
        return images
    return functional.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)
