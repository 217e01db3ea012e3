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
    """Convolution with optional stride, batch normalisation and ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        BatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


class Pointwise(nn.Conv2d):
    """A 1x1 convolution that drops rows and columns first if it has a stride: the same result.

    oneDNN writes past its workspace in the backward pass of a strided 1x1 convolution with fewer channels than a vector
    register holds, in channels_last (https://github.com/uxlfoundation/oneDNN/issues/6035): crashes at `width=8`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs, height / stride, width / stride), rounded up."""
        down, across = self.stride
        return functional.conv2d(images[:, :, ::down, ::across], self.weight, self.bias)


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
            self.around = nn.Sequential(Pointwise(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs))

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
