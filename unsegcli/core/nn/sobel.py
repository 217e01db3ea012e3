"""Sobel edges as extra input bands of a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.jitter import lightness

SIDEWAYS = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
DOWNWARD = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))


def with_edges(images: Tensor) -> Tensor:
    """Append the two Sobel derivatives of the lightness to images (batch, channels, height, width).

    With three or four bands, lightness is computed from the first three (red, green, blue), else it is the mean of
    all bands. The border is zero-padded; derivatives are from -4 to 4.
    """
    grey = lightness(images[:, :3]) if images.shape[1] in (3, 4) else images.mean(1, keepdim=True)
    kernels = images.new_tensor([SIDEWAYS, DOWNWARD])[:, None]
    return torch.cat([images, functional.conv2d(grey, kernels, padding=1)], 1)
