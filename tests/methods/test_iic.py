"""IIC: the authors' own values, the published network, both views brought together, and a short training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unsegcli.core.nn.information import displaced_information, displacement_joints
from unsegcli.errors import ConfigError
from unsegcli.methods import iic
from unsegcli.methods._contract import Batch
from unsegcli.presets import preset_names, read_preset

SMALL = iic.Config(classes=3, overclusters=5, width=4, crop=32, batch=2)
PUBLISHED = iic.Config(classes=3, overclusters=24, architecture="net10a", border_ring=True, shrink=1)

# Made by the authors' program from authors_loss.npz, a random case: batch 2, 3 clusters, 12 x 12 pixels, a random mask.
AUTHORS_REACH = 5
AUTHORS_UNCOLLAPSED = -0.005525702818552046
AUTHORS_COLLAPSED = -0.00010500245666430195


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are slower on several threads, above all beside other tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch_of(bands: int = 3, count: int = 2, side: int = 32, **more: object) -> Batch:
    images = torch.rand(count, bands, side, side, generator=torch.Generator().manual_seed(bands))
    return Batch(images, torch.arange(count), **more)  # type: ignore[arg-type]


def network_of(config: iic.Config, bands: int = 3) -> iic.Network:
    torch.manual_seed(0)
    return iic.Network(config, bands)


def preset(name: str) -> iic.Config:
    return iic.Config(**read_preset("iic", name))


@pytest.mark.parametrize("by", ["convolution", "fft"])
def test_loss_is_the_authors_own(by: str) -> None:
    views = np.load(Path(__file__).with_name("authors_loss.npz"), allow_pickle=False)
    first, second, mask = (torch.from_numpy(views[name]) for name in ("first", "second", "mask"))
    joints = displacement_joints(first, second, mask, AUTHORS_REACH, by)  # type: ignore[arg-type]
    assert float(displaced_information(joints)) == pytest.approx(AUTHORS_UNCOLLAPSED, abs=1e-12, rel=0)
    assert float(displaced_information(joints, collapsed=True)) == pytest.approx(AUTHORS_COLLAPSED, abs=1e-12, rel=0)


def test_published_parameters() -> None:
    # Kernels of 9: 4x64 + 64x128 + 128x256 + 256x256 + 256x512 + 512x512 = 499 968 times 9; two numbers for each of
    # 1728 normalised channels; heads of 512 x (24 + 3), without a bias.
    network = network_of(PUBLISHED, 4)
    assert sum(weight.numel() for weight in network.parameters()) == 499_968 * 9 + 2 * 1728 + 512 * 27
    first = network.trunk[0].weight  # type: ignore[index]
    assert float(first.detach().std()) == pytest.approx((2 / (4 * 9)) ** 0.5, rel=0.1)  # Kaiming, by what comes in


@pytest.mark.parametrize(("side", "inside", "head"), [(32, 12, 14), (48, 20, 22)])
def test_published_shapes_and_ring(side: int, inside: int, head: int) -> None:
    # As 128 -> 60 -> 62 and 200 -> 96 -> 98: half, less 4 pixels, plus the head's ring of 2.
    network, images = network_of(PUBLISHED).eval(), batch_of(side=side, count=1).images
    with torch.no_grad():
        assert network.trunk(images).shape == (1, 512, inside, inside)
        maps = network(images)
        assert maps["a"].shape == (1, 24, head, head)
        assert maps["b"].shape == (1, 3, head, head)
        torch.testing.assert_close(maps["b"][0, :, 0, :], torch.full((3, head), 1 / 3))
        assert float((maps["b"][0, :, 1:-1, 1:-1] - 1 / 3).abs().max()) > 0.01
        network.full_resolution = True
        assert network(images)["b"].shape == (1, 3, side, side)


def test_repaired_border_keeps_each_pixel_in_its_place() -> None:
    network = network_of(dataclasses.replace(PUBLISHED, border_ring=False)).eval()
    with torch.no_grad():
        maps = network(batch_of(count=1).images)["b"]
    assert maps.shape == (1, 3, 16, 16)
    assert float((maps[0, :, 0] - 1 / 3).abs().max()) > 0.01


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
@pytest.mark.parametrize("sobel", [False, True])
def test_scores_sum_to_one_at_any_size(bands: int, sobel: bool) -> None:
    config = dataclasses.replace(SMALL, sobel=sobel)
    network = network_of(config, bands).eval()
    batch = Batch(torch.rand(2, bands, 21, 30), torch.arange(2))
    with torch.no_grad():
        scores = iic.cluster_scores(network, batch, config)
    assert scores.shape == (2, 3, 21, 30)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 21, 30))
    assert float(scores.min()) >= 0
    assert bool(iic.loss(network.train(), batch, config)["loss"].isfinite())


@pytest.mark.parametrize(
    "more",
    [{}, {"alternate": True}, {"sobel": True}, {"full_resolution": True, "reach": 3}, {"architecture": "net10a"}],
)
def test_gradient_reaches_every_weight_over_an_alternation(more: dict[str, object]) -> None:
    config = dataclasses.replace(SMALL, **more)  # type: ignore[arg-type]
    network = network_of(config)
    for epoch in range(2):
        iic.loss(network, batch_of(epoch=epoch), config)["loss"].backward()  # type: ignore[no-untyped-call]
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        assert bool(weight.grad.any()), name


def test_heads_alternate_by_epoch_and_the_first_is_a() -> None:
    config = dataclasses.replace(SMALL, alternate=True)
    network = network_of(config)
    for epoch, head in enumerate(["a", "b", "a"]):
        terms = iic.loss(network, batch_of(epoch=epoch), config)
        assert set(terms) == {"loss", f"head_{head}"}
        assert float(terms["loss"].detach()) == float(terms[f"head_{head}"])
    terms = iic.loss(network, batch_of(), SMALL)
    assert float(terms["loss"].detach()) == pytest.approx(float(terms["head_a"] + terms["head_b"]))


def test_without_overclusters_there_is_one_head() -> None:
    config = dataclasses.replace(SMALL, overclusters=0, alternate=True)
    network = network_of(config)
    assert network.head_a is None
    assert set(iic.loss(network, batch_of(), config)) == {"loss", "head_b"}


class Looking(torch.nn.Module):
    """Clusters by colour, pixel by pixel: what it says of a mirrored image is mirrored."""

    def forward(self, images: Tensor, heads: str) -> dict[str, Tensor]:
        return {"b": (20 * images).softmax(1)}


def test_mirrored_views_are_brought_back() -> None:
    # No jitter and reach 0: both views are equal after the flip is undone, whichever samples were mirrored.
    plain = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "reach": 0}
    config = dataclasses.replace(SMALL, **plain)  # type: ignore[arg-type]
    batch = batch_of(count=8)
    own = displacement_joints(*[(20 * batch.images).softmax(1)] * 2, None, 0)
    found = iic.loss(Looking(), batch, config)["loss"]
    torch.testing.assert_close(found, displaced_information(own))
    assert 0 < int(iic._second_view(batch, iic.Draws(0, 0, batch.index), config)[1].sum()) < 8


def test_void_pixels_do_not_count() -> None:
    mask = torch.ones(2, 32, 32, dtype=torch.bool)
    mask[:, :, 20:] = False
    batch = batch_of(mask=mask)
    config = dataclasses.replace(SMALL, contrast=0.0)  # the mean of an image would see what is void
    other = dataclasses.replace(batch, images=torch.where(mask[:, None], batch.images, 0.7))
    found = [iic.loss(Looking(), given, config)["loss"] for given in (batch, other)]
    torch.testing.assert_close(found[0], found[1])


def test_each_sample_is_changed_by_itself() -> None:
    whole = batch_of(count=4)
    part = dataclasses.replace(whole, images=whole.images[2:], index=whole.index[2:])
    views = [iic._second_view(given, iic.Draws(0, 0, given.index), SMALL) for given in (whole, part)]
    torch.testing.assert_close(views[0][0][2:], views[1][0])
    assert torch.equal(views[0][1][2:], views[1][1])


def test_infrared_is_left_alone_where_it_is_asked_for() -> None:
    config = dataclasses.replace(SMALL, jitter_colours_only=True, flip=False)
    batch = batch_of(bands=4)
    changed, _ = iic._second_view(batch, iic.Draws(0, 0, batch.index), config)
    assert torch.equal(changed[:, 3], batch.images[:, 3])
    assert not torch.allclose(changed[:, :3], batch.images[:, :3])


def test_a_short_training_finds_information_and_keeps_both_clusters() -> None:
    # Quarters of red and green, as many of each: colours and places are both there to be learnt.
    config = dataclasses.replace(SMALL, classes=2, learning_rate=3e-3)
    network = network_of(config)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    red, green = torch.tensor([0.8, 0.2, 0.2]), torch.tensor([0.2, 0.7, 0.2])
    quarters = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 1, 0]]).reshape(4, 1, 2, 2)
    is_red = quarters.repeat_interleave(16, 2).repeat_interleave(16, 3)
    images = is_red * red[:, None, None] + (1 - is_red) * green[:, None, None]
    history = []
    for step in range(30):
        batch = Batch(images, torch.arange(4) + 4 * step, step=step)
        terms = iic.loss(network, batch, config)
        optimizer.zero_grad()
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append(float(terms["head_b"]))
    assert history[-1] < history[0] - 0.1
    with torch.no_grad():
        found = iic.cluster_scores(network.eval(), Batch(images, torch.arange(4)), config).argmax(1)
    assert 0.1 < float(found.float().mean()) < 0.9


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(ConfigError, match="vgg: is not one of small, net10a"):
        iic.Network(iic.Config(architecture="vgg"), 3)


def test_presets_are_the_published_rows() -> None:
    assert preset_names("iic") == ["coco-stuff-15", "coco-stuff-3", "potsdam", "potsdam-3"]
    rows = {
        name: (
            c.learning_rate,
            c.batch,
            c.overclusters,
            c.classes,
            c.balance_overclusters,
            c.balance,
            c.reach,
            c.crop,
            c.sobel,
        )
        for name in preset_names("iic")
        for c in [preset(name)]
    }
    assert rows == {
        "coco-stuff-3": (1e-4, 120, 15, 3, 1.0, 1.5, 10, 128, True),
        "coco-stuff-15": (1e-4, 60, 45, 15, 1.0, 1.0, 10, 128, True),
        "potsdam-3": (1e-5, 75, 24, 3, 1.0, 1.5, 10, 200, False),
        "potsdam": (1e-6, 60, 36, 6, 1.0, 1.0, 5, 200, False),
    }
    for name in preset_names("iic"):
        config = preset(name)
        assert (config.architecture, config.schedule, config.optimizer) == ("net10a", "constant", "adam")
        assert config.full_resolution
        assert config.alternate
        assert config.border_ring
