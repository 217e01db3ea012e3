"""The head of DeepLab-v3: atrous spatial pyramid pooling (ASPP) with a global branch.

After Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unsegcli.core.nn.distributed_sums import ranks
from unsegcli.core.nn.networks import BatchNorm, convolution


class Whole(nn.Module):
    """Global average pooling, a projection to `outputs` channels, and broadcasting back to the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, inputs, rows, columns) to (batch, outputs, rows, columns)."""
        mean = self.mix(maps.mean((2, 3), keepdim=True))
        return functional.relu(self._normalised(mean)).expand(-1, -1, *maps.shape[2:])

    def _normalised(self, mean: Tensor) -> Tensor:
        """Batch normalisation that uses the running statistics for a single image, which has no variance."""
        if self.training and len(mean) * ranks() == 1:
            norm = self.norm
            return functional.batch_norm(mean, norm.running_mean, norm.running_var, norm.weight, norm.bias, False)
        normalised: Tensor = self.norm(mean)
        return normalised


class DeepLabHead(nn.Module):
    """Parallel convolutions of several dilations, concatenated and projected."""

    def __init__(self, inputs: int, width: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            [convolution(inputs, width, 1), *(convolution(inputs, width, 3, dilation=rate) for rate in rates)]
        )
        self.whole = Whole(inputs, width)
        self.mix = convolution((len(rates) + 2) * width, width, 1)
        self.last = convolution(width, width, 3)

    def forward(self, maps: Tensor, keep: Tensor | None = None) -> Tensor:
        """(batch, inputs, rows, columns) to (batch, width, rows, columns).

        Args:
            maps: features of the backbone.
            keep: (batch, width, rows, columns) dropout factors of the output, such as from `Draws.kept`; None = 1.
        """
        mixed = self.mix(torch.cat([*(scale(maps) for scale in self.scales), self.whole(maps)], 1))
        result: Tensor = self.last(mixed if keep is None else mixed * keep)
        return result
