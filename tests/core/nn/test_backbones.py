"""Networks whose maps keep their size: strides, dilations, numbers of weights, and one image alone."""

from __future__ import annotations

import pytest
import torch

from unsegcli.core.draws import Draws
from unsegcli.core.nn.backbones import STRIDES, make_backbone
from unsegcli.core.nn.deeplab import DeepLabHead
from unsegcli.errors import ConfigError


@pytest.mark.parametrize("stride", STRIDES["small"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (8, 8)])
def test_small_shrinks_by_its_stride(stride: int, height: int, width: int) -> None:
    backbone = make_backbone("small", 5, 4, stride)
    maps = backbone(torch.rand(2, 5, height, width))
    assert maps.shape == (2, backbone.features, -(-height // stride), -(-width // stride))
    assert backbone.features == 32


def test_unknown_networks_and_strides_list_the_known() -> None:
    with pytest.raises(ConfigError, match="architecture nothing: is not one of small, resnet18, resnet34, resnet50"):
        make_backbone("nothing", 3, 16, 8)
    with pytest.raises(ConfigError, match="stride 16: is not one of 4, 8"):
        make_backbone("small", 3, 16, 16)
    with pytest.raises(ConfigError, match="stride 4: is not one of 8, 16, 32"):
        make_backbone("resnet50", 3, 16, 4)


def test_head_keeps_the_size_and_sees_the_whole() -> None:
    torch.manual_seed(0)
    head = DeepLabHead(6, 8, (2, 4)).eval()
    maps = torch.rand(1, 6, 20, 20)
    changed = maps.clone()
    changed[0, :, 0, 0] += 5
    with torch.no_grad():
        before, after = head(maps), head(changed)
    assert before.shape == (1, 8, 20, 20)
    assert float((before - after)[0, :, -1, -1].abs().max()) > 1e-6, "by the mean of the map"


def test_head_learns_from_one_image() -> None:
    head = DeepLabHead(3, 4, (2,)).train()
    head(torch.rand(1, 3, 5, 5)).sum().backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_what_is_left_out_is_drawn_from_seed_and_sample() -> None:
    head = DeepLabHead(3, 4, (2,)).eval()
    maps, draws = torch.rand(2, 3, 5, 5), Draws(0, 0, torch.arange(2))
    keep = draws.kept("dropout", 0.5, 4, 5, 5)
    assert set(keep.unique().tolist()) == {0, 2}
    assert float(draws.kept("dropout", 0.25, 200, 200).mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(keep, draws.kept("dropout", 0.5, 4, 5, 5))
    assert not torch.equal(keep[0], keep[1])
    assert not torch.equal(keep, Draws(0, 1, torch.arange(2)).kept("dropout", 0.5, 4, 5, 5))
    with torch.no_grad():
        assert not torch.equal(head(maps), head(maps, keep))
        assert torch.equal(head(maps), head(maps, torch.ones_like(keep)))


# ---------------------------------------------------------------------------------------- torchvision


@pytest.fixture(scope="module")
def models() -> object:
    return pytest.importorskip("torchvision.models", exc_type=ImportError)


@pytest.mark.parametrize(
    ("name", "stride", "bands"), [("resnet18", 8, 1), ("resnet18", 32, 5), ("resnet34", 16, 3), ("resnet50", 8, 3)]
)
def test_resnets_shrink_by_their_stride(models: object, name: str, stride: int, bands: int) -> None:
    backbone = make_backbone(name, bands, 16, stride).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, bands, 64, 96))
    assert maps.shape == (1, {"resnet50": 2048}.get(name, 512), 64 // stride, 96 // stride)


@pytest.mark.parametrize(("stride", "replaced"), [(8, [False, True, True]), (16, [False, False, True])])
def test_dilated_network_is_torchvisions(models: object, stride: int, replaced: list[bool]) -> None:
    theirs = models.resnet50(weights=None, replace_stride_with_dilation=replaced).eval()  # type: ignore[attr-defined]
    ours = make_backbone("resnet50", 3, 16, stride).eval()
    missing = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing.missing_keys, missing.unexpected_keys) == ([], ["fc.weight", "fc.bias"])
    images = torch.rand(1, 3, 64, 64)
    mean, deviation = (torch.tensor(part).view(3, 1, 1) for part in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        # Ours looks half of a stride further, so that its maps lie where `grow` puts them.
        further = (stride - 1) // 2
        shifted = torch.nn.functional.pad((images - mean) / deviation, (3 - further, 3 + further) * 2)
        maps = torch.nn.functional.conv2d(shifted, theirs.conv1.weight, stride=2)
        maps = theirs.maxpool(theirs.relu(theirs.bn1(maps)))
        for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            maps = layer(maps)
        torch.testing.assert_close(ours(images), maps)
