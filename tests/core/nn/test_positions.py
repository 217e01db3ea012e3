"""Where a pixel acts on the scores: in its place to half a pixel, in a plain and in a mirrored pass.

The filters of a network are made the same in all directions, so that the image of a spot is as symmetrical as the spot:
what is left is where strides, pooling and resizing put it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unsegcli.core.nn.backbones import make_backbone
from unsegcli.core.nn.deeplab import DeepLabHead
from unsegcli.core.nn.masknets import FineNetwork, PyramidNetwork
from unsegcli.core.nn.networks import grow, small_trunk
from unsegcli.core.nn.shrinking import at_middles, shrunk
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import config_from, find_method

SIDE, SPOT, BANDS = 192, 16, 3  # multiples of all strides
NARROW = {"classes": 3, "width": 4, "overclusters": 0, "features": 8, "guide": 0.0, "head": 8, "dimensions": 6}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("inmars", {}), ("inmars", {"shrink": 1}), ("infoseg", {}), ("infoseg", {"shrink": 1}), ("infoseg", {"stride": 2}),
    ("infoseg", {"context": 0}), ("iic", {}), ("iic", {"shrink": 1}), ("iic", {"architecture": "net10a", "shrink": 1}),
    ("segnet", {}), ("segnet", {"architecture": "pyramid"}), ("maskcontrast", {}), ("maskcontrast", {"stride": 4}),
]  # fmt: skip


def evened(network: nn.Module) -> nn.Module:
    """Replace each filter by its mean over the window, and leave out normalisation by each image's own borders."""
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.forward = lambda maps: maps  # type: ignore[method-assign]
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.mean((2, 3), keepdim=True).expand_as(module.weight).contiguous()
    return network.eval()


def centre_of(scores_of: Callable[[Tensor], Tensor], mirrored: bool) -> tuple[float, float]:
    """Row and column of the centre of gravity of what a spot in the middle of an image changes most."""
    plain = torch.full((1, BANDS, SIDE, SIDE), 0.5)
    spotted = plain.clone()
    middle = slice(SIDE // 2 - SPOT // 2, SIDE // 2 + SPOT // 2)
    spotted[:, :, middle, middle] += torch.tensor([0.2, 0.1, -0.1])[:, None, None]
    with torch.no_grad():
        maps = [scores_of(image.flip(3)).flip(3) if mirrored else scores_of(image) for image in (plain, spotted)]
    changed = (maps[1] - maps[0]).abs().sum((0, 1))
    assert float(changed.max()) > 0
    changed = (changed - changed.max() / 4).clamp_min(0)  # without what reaches the whole image by its mean
    positions = torch.arange(SIDE, dtype=torch.float32)
    shares = changed / changed.sum()
    return float(shares.sum(1) @ positions), float(shares.sum(0) @ positions)


def assert_in_place(scores_of: Callable[[Tensor], Tensor], within: float) -> None:
    for mirrored in (False, True):
        assert centre_of(scores_of, mirrored) == pytest.approx(((SIDE - 1) / 2,) * 2, abs=within), mirrored


@pytest.mark.parametrize(("name", "settings"), METHODS)
def test_a_method_puts_a_spot_where_it_is(name: str, settings: dict[str, Any]) -> None:
    loaded = find_method(name)
    known = vars(loaded.module.Config())
    narrow = {key: value for key, value in NARROW.items() if key in known and (name, key) != ("segnet", "classes")}
    config = config_from(loaded, {**narrow, **settings})
    torch.manual_seed(0)
    network = evened(loaded.module.Network(config, BANDS))

    def scores_of(images: Tensor) -> Tensor:
        batch = Batch(images, torch.arange(1))
        module: Any = loaded.module
        return module.embeddings(network, batch, config).vectors if loaded.embeds else _scores(module, batch)

    def _scores(module: Any, batch: Batch) -> Tensor:
        found: Tensor = module.cluster_scores(network, batch, config)
        return found

    assert_in_place(scores_of, 0.51 if settings.get("architecture") == "pyramid" else 0.05)


@pytest.mark.parametrize(
    ("make", "within"),
    [
        (lambda: small_trunk(BANDS, 4), 0.05),
        (lambda: make_backbone("small", BANDS, 4, 4), 0.05),
        (lambda: make_backbone("small", BANDS, 4, 8), 0.05),
        (lambda: nn.Sequential(make_backbone("small", BANDS, 4, 8), DeepLabHead(32, 8, (2, 4))), 0.05),
        (lambda: FineNetwork(BANDS, 4), 0.05),
        (lambda: PyramidNetwork(BANDS, 16, 1), 0.51),
    ],
    ids=["trunk", "backbone 4", "backbone 8", "deeplab", "fine", "pyramid"],
)  # fmt: skip
def test_a_network_puts_a_spot_where_it_is(make: Callable[[], nn.Module], within: float) -> None:
    torch.manual_seed(0)
    network = evened(make())
    assert_in_place(lambda images: grow(network(images), images.shape[2:]), within)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_resnet_puts_a_spot_where_it_is(stride: int) -> None:
    pytest.importorskip("torchvision.models", exc_type=ImportError)
    torch.manual_seed(0)
    network = evened(make_backbone("resnet18", BANDS, 4, stride))
    assert_in_place(
        lambda images: grow(network(images), images.shape[2:]), 0.65
    )  # half a pixel, and rounding of the spot


@pytest.mark.parametrize(("factor", "stride"), [(1, 2), (1, 4), (2, 2), (2, 4)])
def test_superpixels_are_read_where_the_scores_are(factor: int, stride: int) -> None:
    """Position i stands for the pixels from i x factor x stride on; its middle lies between two of them."""
    numbers = torch.arange(32).expand(1, 32, 32)
    batch = Batch(numbers[:, None].float(), torch.arange(1), superpixels=numbers, superpixel_count=32)
    small = shrunk(batch, factor)
    assert small.superpixels is not None
    positions = 32 // factor // stride
    read = at_middles(small.superpixels, (positions, positions))[0, 0].float()
    middles = factor * stride * (torch.arange(positions) + 0.5) - 0.5
    torch.testing.assert_close(read, middles, rtol=0, atol=0.5)
