"""Networks whose layers are read as maps of features, and where the cells of these maps lie in the image.

A network is described by its parts in order. Nothing is computed past the last layer that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unsegcli.core.nn.precision import full_float32

COLOURS = 3
UNITS_MEASURED = 4  # of the coarsest stride: side of the image on which strides are measured
UNITS_OF_SPOTS, SPOTS, SPOT = 8, 8, 16  # side of the images with spots, in units; number of spots; side of a spot
Read = Callable[[Tensor], list[Tensor]]  # (batch, bands, height, width) -> a map for each layer


class Grid(NamedTuple):
    """Where the cells of a map lie along an axis, in pixels of the network's input; pixel k has its centre at k."""

    stride: float
    first: float  # the centre of cell 0


class ReadLayer(NamedTuple):
    """A layer that is read: its name, its number of features, and its cells."""

    name: str
    features: int
    grid: Grid


class FeatureNetwork(nn.Module):
    """A network that gives maps of some of its layers.

    The sides of images must be multiples of `multiple`, as they were in training: with other sizes, some networks pad
    their maps on sides where they never did.
    """

    def __init__(self, network: nn.Module, read: Read, names: Sequence[str], multiple: int, bands: int) -> None:
        super().__init__()
        self.network, self.read = network, read
        self.multiple = multiple
        self.layers = self._measured(names, bands)
        if any(layer.grid.first != (layer.grid.stride - 1) / 2 for layer in self.layers):
            self.layers = self._recentred(self.layers, bands)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn normalised images (batch, bands, height, width) into a map (batch, features, rows, columns) a layer."""
        with torch.inference_mode(), full_float32():
            return self.read(images)

    def _measured(self, names: Sequence[str], bands: int) -> tuple[ReadLayer, ...]:
        side = UNITS_MEASURED * self.multiple
        grids: dict[int, Grid] = {side: Grid(1.0, 0.0)}
        hooks = [
            module.register_forward_hook(_measure_into(grids))
            for module in self.network.modules()
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
        ]
        try:
            maps = self(torch.zeros(1, bands, side, side))
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(
            ReadLayer(name, found.shape[1], grids.get(found.shape[2]) or _middle_of(side / found.shape[2]))
            for name, found in zip(names, maps, strict=True)
        )

    def _recentred(self, layers: Sequence[ReadLayer], bands: int) -> tuple[ReadLayer, ...]:
        """Move the cells to the middle of what changes them.

        A network that was trained with uneven padding has learned to look left of the middle of its kernels.
        """
        images, centres = _spots(UNITS_OF_SPOTS * self.multiple, self.multiple, bands)
        maps = self(images)
        return tuple(
            layer._replace(grid=layer.grid._replace(first=layer.grid.first - _shift(found, layer.grid, centres)))
            for layer, found in zip(layers, maps, strict=True)
        )


def _spots(side: int, period: int, bands: int) -> tuple[Tensor, Tensor]:
    """Return a plain image and images with a spot of random colour each; and the centres of the spots."""
    random = torch.Generator().manual_seed(0)
    images = torch.zeros(1 + SPOTS, bands, side, side)
    starts = [(side - SPOT - period) // 2 + number * period // SPOTS for number in range(SPOTS)]
    for number, start in enumerate(starts, 1):
        colour = torch.randn(bands, 1, 1, generator=random)
        images[number, :, start : start + SPOT, start : start + SPOT] = colour
    return images, torch.tensor(starts) + (SPOT - 1) / 2


def _shift(maps: Tensor, grid: Grid, centres: Tensor) -> int:
    """Return how far the change of a map lies from the spots that make it, in whole pixels, along the diagonal."""
    change = (maps[1:] - maps[:1]).abs().sum(1)
    profile = change.sum(1) + change.sum(2)  # rows and columns together
    places = grid.first + grid.stride * torch.arange(profile.shape[1])
    found = (profile * places).sum(1) / profile.sum(1).clamp_min(torch.finfo().tiny)
    return round(float((found - centres).mean())) if bool((profile.sum(1) > 0).all()) else 0


def _middle_of(stride: float) -> Grid:
    """Return the cells of patches that lie side by side."""
    return Grid(stride, (stride - 1) / 2)


def _measure_into(grids: dict[int, Grid]) -> Callable[..., None]:
    """Note the cells of each size of map, from the first module that makes it: the others are shortcuts."""

    def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before, after = inputs[0].shape[-2], output.shape[-2]
        kernel, step, dilation = (_first(getattr(module, name, 1)) for name in ("kernel_size", "stride", "dilation"))
        if step > 1 and before in grids and after not in grids:
            reach = dilation * (kernel - 1)
            grid = grids[before]
            start = grid.first + grid.stride * (reach / 2 - _padding(module, before, (after - 1) * step + reach + 1))
            grids[after] = Grid(grid.stride * step, start)

    return hook


def _padding(module: Any, length: int, needed: int) -> int:
    """Return the pixels that a layer adds before the first one; TensorFlow's layers choose it by the size."""
    if type(module).__name__.endswith("Same"):
        return max(needed - length, 0) // 2
    return 0 if isinstance(module.padding, str) else _first(module.padding)


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def folded(module: nn.Module) -> None:
    """Replace each batch normalization that follows a convolution by other weights of it, with the same outputs."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    before: nn.Conv2d | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            assert child.running_mean is not None
            assert child.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                before.weight, before.bias, child.running_mean, child.running_var, child.eps, child.weight, child.bias
            )
            before.weight, before.bias = weight, bias
            setattr(module, name, getattr(child, "act", nn.Identity()))  # some libraries put the activation into it
            before = None
        elif isinstance(child, nn.Conv2d):
            before = child
        else:
            before = None
            folded(child)


def fit_bands(network: nn.Module, bands: int) -> bool:
    """Adapt the first convolution to another number of bands than 3; return whether that was needed."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if first.weight.shape[1] == bands:
        return False
    first.weight = nn.Parameter(adapted(first.weight.detach(), bands))
    first.in_channels = bands
    return True


def adapted(weight: Tensor, bands: int) -> Tensor:
    """Adapt weights of a convolution over RGB to another number of bands, with outputs of similar magnitude.

    The bands after the third, or all if there are fewer, get the mean weights.
    """
    mean = weight.mean(1, keepdim=True)
    parts = [weight[:, band : band + 1] if band < COLOURS < bands else mean for band in range(bands)]
    return torch.cat(parts, 1) * (COLOURS / bands)


def stages_of_resnet(network: Any) -> list[nn.Module]:
    """Return the parts of torchvision's ResNet of which layers 1 to 4 are the outputs."""
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return [nn.Sequential(stem, network.layer1), network.layer2, network.layer3, network.layer4]


def blocks_of_efficientnet(network: Any) -> list[nn.Module]:
    """Return the blocks of timm's EfficientNet in one list; the first one includes the stem."""
    first, *rest = [block for stage in network.blocks for block in stage]
    return [nn.Sequential(network.conv_stem, network.bn1, first), *rest]


def reading_parts(parts: Sequence[nn.Module], wanted: Sequence[int]) -> tuple[nn.Module, Read]:
    """Return the parts up to the last wanted one, as one network, and how to read the wanted ones.

    Args:
        parts: run one after the other.
        wanted: positions of the parts whose outputs are read, in any order.
    """
    used = nn.ModuleList(parts[: max(wanted) + 1])

    def read(images: Tensor) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        maps = images
        for number, part in enumerate(used):
            maps = part(maps)
            if number in wanted:
                found[number] = maps
        return [found[number] for number in wanted]

    return used, read


def reading_intermediates(network: Any, wanted: Sequence[int]) -> Read:
    """Return how to read the outputs of blocks or stages of a network of timm."""
    places = sorted(set(wanted))

    def read(images: Tensor) -> list[Tensor]:
        found = network.forward_intermediates(
            images, indices=places, norm=True, output_fmt="NCHW", intermediates_only=True, stop_early=True
        )
        by_place = dict(zip(places, found, strict=True))
        return [by_place[place] for place in wanted]

    return read
