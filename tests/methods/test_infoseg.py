"""InfoSeg: its equations by hand, its negatives beside plain loops, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import PLAIN as READING
from torch import Tensor, nn
from torch.nn import functional
from toy import make_network, tiny, toy_batch, two_colours

from unsegcli.core.nn.networks import BatchNorm
from unsegcli.errors import ConfigError
from unsegcli.methods import infoseg
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import config_from, find_method
from unsegcli.methods.infoseg import Assigned, Config, Network
from unsegcli.presets import preset_names, read_preset
from unsegcli.segmenters.network import reach_of, scores_of
from unsegcli.segmenters.trained import Trained

LOADED = find_method("infoseg")
LN2, LN3 = math.log(2), math.log(3)
PLAIN = Config(
    classes=2, batch=2, shrink=1, normalize=False, tau=1.0, scale=1.0, negatives="roll", agree=0.0, pool_logits=False,
    context=0, guide=0.0,
)  # fmt: skip


class Fixed(nn.Module):
    """Gives the same local features and features of classes whatever it is shown."""

    def __init__(self, local: Tensor, classes: Tensor) -> None:
        super().__init__()
        self.local, self.classes = nn.Parameter(local), nn.Parameter(classes)
        self.first = None

    def forward(self, images: Tensor, whole: Tensor | None, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.local, self.local.mean((2, 3))

    def class_features(self, seen: Tensor) -> Tensor:
        return self.classes


def two_images() -> tuple[Any, Batch]:
    """One place each. First: L = (ln 3, 0), H = (1, 0) and (0, 0). Second: L = (0, ln 3), H = (1, 0) and (0, 1)."""
    local = torch.tensor([[LN3, 0.0], [0.0, LN3]])[:, :, None, None]
    classes = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    return Fixed(local, classes), Batch(torch.rand(2, 3, 1, 1), torch.arange(2))


def softplus(value: float) -> float:
    return math.log(1 + math.exp(value))


@pytest.mark.parametrize("negatives", ["roll", "all"])
def test_loss_by_hand(negatives: str) -> None:
    """Equation 1: V = (3/4, 1/4) and (1/4, 3/4). Equation 3: S = (3/4, 0) and (1/4, 3/4).

    Equation 6: T = <L, S> is 3/4 ln 3 for both; with the other image's L it is <(0, ln 3), (3/4, 0)> = 0 and
    <(ln 3, 0), (1/4, 3/4)> = ln 3 / 4. Equation 5, as a loss: mean softplus(-T) + mean softplus(T of others)
    = ln(1 + 3^-0.75) + (ln 2 + ln(1 + 3^0.25)) / 2 = 0.36373 + (0.69315 + 0.83987) / 2.
    """
    network, batch = two_images()
    terms = infoseg.loss(network, batch, replace(PLAIN, negatives=negatives, places=1))
    expected = softplus(-0.75 * LN3), (LN2 + softplus(LN3 / 4)) / 2
    assert expected == pytest.approx((0.36373, 0.76651), abs=1e-5)
    found = {name: float(term.detach()) for name, term in terms.items()}
    assert (found["positive"], found["negative"]) == pytest.approx(expected)
    assert found["loss"] == pytest.approx(sum(expected))
    assert found["marginal"] == pytest.approx(LN2)  # the mean of V is (1/2, 1/2)


def test_tau_and_scale_by_hand() -> None:
    """tau = 2 makes V = (9/10, 1/10) of the first image, S = (9/10, 0); without a scale of its own T has tau, too."""
    network, batch = two_images()
    for scale, factor in ((0.0, 2.0), (3.0, 3.0)):
        config = replace(PLAIN, tau=2.0, scale=scale)
        found = infoseg.assigned(network.local, network.classes, batch, config)
        assert found.volume[0, :, 0, 0].tolist() == pytest.approx([0.9, 0.1])
        assert found.mixture[0, :, 0, 0].tolist() == pytest.approx([0.9, 0])
        one = replace(found, **{name: getattr(found, name)[:1] for name in vars(found)})
        assert float(infoseg.positive(one, config).detach()) == pytest.approx(softplus(-factor * 0.9 * LN3))


def test_detached_volume_has_no_gradient() -> None:
    """With V fixed, dS/dH_k is V_k, and L has no influence on S."""
    network, batch = two_images()
    for detach_v in (True, False):
        config = replace(PLAIN, detach_v=detach_v)
        found = infoseg.assigned(network.local, network.classes, batch, config)
        towards = torch.autograd.grad(found.mixture[0, 0].sum(), (network.local, network.classes), allow_unused=True)
        reaches = towards[0] is not None and bool(towards[0].any())
        assert reaches is not detach_v
        if detach_v:
            assert towards[1] is not None
            assert towards[1][0, :, 0].tolist() == pytest.approx([0.75, 0.25])


# ---------------------------------------------------------------------------------------- negatives


def assignment(images: int = 4, void: bool = True, seed: int = 0) -> tuple[Assigned, Batch]:
    """Features and volumes by chance, some places void."""
    random = torch.Generator().manual_seed(seed)
    shape = (images, 5, 3, 4)
    local, mixture = (torch.randn(shape, generator=random) for _ in range(2))
    volume = torch.randn(images, 3, 3, 4, generator=random).softmax(1)
    valid = torch.rand(images, 3, 4, generator=random) > (0.4 if void else -1.0)
    return Assigned(local, volume.log(), volume, mixture, valid), Batch(torch.zeros(images, 3, 3, 4), torch.arange(4))


@pytest.mark.parametrize("agree", [0.0, 0.7, 1.0])
def test_all_pairs_equal_a_plain_loop(agree: float) -> None:
    """Every place drawn in one image with every place drawn in another, each weighted by 1 - agree V.V'."""
    found, batch = assignment()
    config = replace(PLAIN, negatives="all", places=6, agree=agree, scale=1.3)
    drawn, known = infoseg._places(found.valid, batch, 6)
    assert known.tolist() == [True] * 4
    lost = mass = 0.0
    for one in range(4):
        for other in range(4):
            for here in drawn[one].tolist():
                for there in drawn[other].tolist():
                    at_one, at_other = divmod(here, 4), divmod(there, 4)
                    assert bool(found.valid[(one, *at_one)])
                    alike = float(found.volume[one][:, *at_one] @ found.volume[other][:, *at_other])
                    weight = (one != other) * (1 - agree * alike)
                    likeness = 1.3 * float(found.local[one][:, *at_one] @ found.mixture[other][:, *at_other])
                    lost, mass = lost + weight * softplus(likeness), mass + weight
    assert float(infoseg.negative(found, batch, config)) == pytest.approx(lost / mass, rel=1e-4)


@pytest.mark.parametrize("agree", [0.0, 0.7])
@pytest.mark.parametrize("step", range(4))
def test_rolled_pairs_equal_a_plain_loop(agree: float, step: int) -> None:
    """The same place of another image, where both are valid; which one it is is the same for all."""
    found, batch = assignment()
    config = replace(PLAIN, agree=agree, scale=1.3)
    values = []
    for moved in range(1, 4):
        lost = mass = 0.0
        for one in range(4):
            other = (one + moved) % 4
            for row in range(3):
                for column in range(4):
                    both = bool(found.valid[one, row, column] and found.valid[other, row, column])
                    alike = float(found.volume[one, :, row, column] @ found.volume[other, :, row, column])
                    likeness = 1.3 * float(found.local[other, :, row, column] @ found.mixture[one, :, row, column])
                    lost += both * (1 - agree * alike) * softplus(likeness)
                    mass += both * (1 - agree * alike)
        values.append(lost / mass)
    assert len({round(value, 5) for value in values}) == 3
    seen = float(infoseg.negative(found, replace(batch, step=step), config))
    assert min(abs(seen - value) for value in values) < 1e-5


def test_every_move_comes_but_none_that_stays() -> None:
    """If L' were of the same image, T would be 9 and not 0."""
    local = torch.eye(4)[:, :, None, None] * 3
    volume = torch.full((4, 2, 1, 1), 0.5)
    found = Assigned(local, volume, volume, local, torch.ones(4, 1, 1, dtype=torch.bool))
    batch = Batch(torch.zeros(4, 3, 1, 1), torch.arange(4))
    for step in range(20):
        assert float(infoseg.negative(found, replace(batch, step=step), PLAIN)) == pytest.approx(LN2)
        everyone = replace(PLAIN, negatives="all", places=3)
        assert float(infoseg.negative(found, replace(batch, step=step), everyone)) == pytest.approx(LN2)


@pytest.mark.parametrize("negatives", ["roll", "all"])
def test_crops_of_one_image_are_no_pair(negatives: str) -> None:
    """Crops 0 and 1 have T = 9 with each other and 0 with those of other images; with all of one image none is left."""
    local = torch.tensor([[3.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]])[:, :, None, None]
    volume = torch.full((4, 2, 1, 1), 0.5)
    found = Assigned(local, volume, volume, local, torch.ones(4, 1, 1, dtype=torch.bool))
    batch = Batch(torch.zeros(4, 3, 1, 1), torch.arange(4))
    config = replace(PLAIN, negatives=negatives, places=3)
    known = replace(batch, image_numbers=torch.tensor([7, 7, 2, 5]))
    steps = range(20)
    assert max(float(infoseg.negative(found, replace(batch, step=step), config)) for step in steps) > 1
    for step in steps:
        assert float(infoseg.negative(found, replace(known, step=step), config)) == pytest.approx(LN2)
    one = replace(batch, image_numbers=torch.zeros(4, dtype=torch.int64))
    assert float(infoseg.negative(found, one, config)) == 0


def test_pairs_that_surely_agree_are_spared() -> None:
    """Two images of class 0 and one of class 1: only pairs of different classes are left, all of T = 1."""
    volume = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    local = torch.tensor([[5.0], [5.0], [1.0]])[:, :, None, None]
    mixture = torch.tensor([[1.0], [1.0], [0.2]])[:, :, None, None]
    found = Assigned(local, volume, volume, mixture, torch.ones(3, 1, 1, dtype=torch.bool))
    batch = Batch(torch.zeros(3, 3, 1, 1), torch.arange(3))
    config = replace(PLAIN, negatives="all", agree=1.0, places=2)
    assert float(infoseg.negative(found, batch, config)) == pytest.approx(softplus(1.0))
    same = replace(found, volume=volume[:1].expand(3, 2, 1, 1))
    assert float(infoseg.negative(same, batch, config)) == 0  # nothing is left to push apart


def test_places_are_valid_everywhere_and_of_each_sample_alone() -> None:
    valid = torch.zeros(3, 2, 5, dtype=torch.bool)
    valid[0, 0, 3] = valid[0, 1, 4] = True
    valid[1] = True
    batch = Batch(torch.zeros(3, 3, 2, 5), torch.arange(3), seed=1)
    drawn, known = infoseg._places(valid, batch, 200)
    assert known.tolist() == [True, True, False]
    assert set(drawn[0].tolist()) == {3, 9}
    assert set(drawn[1].tolist()) == set(range(10))
    assert int(drawn.max()) <= 9
    last, _ = infoseg._places(valid[1:], replace(batch, index=batch.index[1:]), 200)
    assert torch.equal(last, drawn[1:])
    assert not torch.equal(infoseg._places(valid, replace(batch, step=1), 200)[0], drawn)


# ---------------------------------------------------------------------------------------- the segmentation step


def test_one_volume_for_each_superpixel() -> None:
    """Logits of class 0 against 1: ln 3, -ln 3 and ln 9 in one superpixel, mean 2 ln 3 / 3; the last place is void."""
    local = torch.tensor([LN3, -LN3, 2 * LN3, LN3]).reshape(1, 1, 2, 2)
    classes = torch.tensor([[[1.0], [0.0]]])
    numbers = torch.tensor([[[4, 4], [4, -1]]])
    batch = Batch(torch.zeros(1, 3, 2, 2), torch.arange(1), superpixels=numbers, superpixel_count=5)
    found = infoseg.assigned(local, classes, batch, replace(PLAIN, pool_logits=True))
    first = 1 / (1 + 3 ** (-2 / 3))
    assert found.volume[0, 0].flatten().tolist() == pytest.approx([first] * 3 + [0.75])
    assert found.valid[0].tolist() == [[True, True], [True, False]]
    alone = infoseg.assigned(local, classes, batch, PLAIN)
    assert alone.volume[0, 0].flatten().tolist() == pytest.approx([0.75, 0.25, 0.9, 0.75])
    with pytest.raises(ValueError, match="superpixels"):
        infoseg.assigned(local, classes, replace(batch, superpixels=None), replace(PLAIN, pool_logits=True))


@pytest.mark.parametrize("negatives", ["roll", "all"])
def test_void_places_count_neither_way(negatives: str) -> None:
    """Whatever the network says of void places, the terms are the same; also where a whole image is void."""
    random = torch.Generator().manual_seed(0)
    local, classes = torch.randn(4, 5, 3, 4, generator=random), torch.randn(4, 2, 5, generator=random)
    mask = torch.rand(4, 3, 4, generator=random) > 0.4
    mask[2] = False
    batch = Batch(torch.zeros(4, 3, 3, 4), torch.arange(4), mask=mask)
    config = replace(PLAIN, negatives=negatives, batch=4, places=8, agree=0.5)
    noise = 9 * torch.randn(local.shape, generator=random)
    terms = [
        infoseg.loss(Fixed(one, classes), batch, config)  # type: ignore[arg-type]
        for one in (local, torch.where(mask[:, None], local, noise))
    ]
    for name, term in terms[0].items():
        assert float(term.detach()) == pytest.approx(float(terms[1][name].detach())), name
    nothing = replace(batch, mask=torch.zeros_like(mask))
    empty = infoseg.loss(Fixed(local, classes), nothing, config)  # type: ignore[arg-type]
    assert {name: float(term.detach()) for name, term in empty.items()} == dict.fromkeys(empty, 0.0)


def test_class_features_by_hand() -> None:
    """Of H = (3, 4), length 1 makes (0.6, 0.8)."""
    for normalize, expected in ((True, [0.6, 0.8]), (False, [3.0, 4.0])):
        network = make_network(LOADED, tiny(LOADED, classes=1, features=2, normalize=normalize))
        assert isinstance(network, Network)
        projection = network.overall
        assert isinstance(projection, nn.Conv2d)
        assert projection.bias is not None
        with torch.no_grad():
            projection.weight.zero_()
            projection.bias.copy_(torch.tensor([3.0, 4.0]))
            found = network.class_features(torch.rand(2, 32))
        torch.testing.assert_close(found, torch.tensor(expected).expand(2, 1, 2))


# ---------------------------------------------------------------------------------------- settings


def test_without_extras_there_are_no_weights_for_them() -> None:
    names = make_network(LOADED, tiny(LOADED, guide=0.0)).state_dict()
    assert {name.split(".")[0] for name in names} == {"near", "far", "local", "overall"}


def test_superpixels_are_needed_where_they_are_asked_for() -> None:
    wanted = {(True, 1.0): True, (False, 1.0): True, (True, 0.0): True, (False, 0.0): False}
    for (pool_logits, guide), needed in wanted.items():
        assert bool(LOADED.needs(tiny(LOADED, pool_logits=pool_logits, guide=guide))) is needed
    assert LOADED.needs(config_from(LOADED, read_preset("infoseg", "paper"))) == ()


OPTIONS: list[dict[str, Any]] = [
    {"negatives": "roll"}, {"negatives": "roll", "agree": 0.0}, {"negatives": "all", "agree": 0.0},
    {"normalize": False, "tau": 0.1}, {"scale": 2.0}, {"detach_v": True}, {"pool_logits": False}, {"context": 0},
    {"context": 1}, {"context": 2, "context_light": 0.0}, {"guide": 1.0}, {"stride": 2}, {"blocks": 2},
    {"projection": "nonlinear"}, {"shrink": 2, "crop": 32}, {"places": 1}, {"features": 7},
]  # fmt: skip


@pytest.mark.parametrize("sets", OPTIONS, ids=str)
def test_every_option_runs_and_reaches_all_weights(sets: dict[str, Any]) -> None:
    config = tiny(LOADED, **{"guide_batches": 1, **sets})
    network = make_network(LOADED, config)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[0, :5] = mask[1] = False
    for step in range(3):
        batch = toy_batch(LOADED, config, step=step)
        if config.crop == 16:
            batch = replace(batch, mask=mask)
        terms = infoseg.loss(network, batch, config)  # type: ignore[arg-type]
        assert all(bool(term.isfinite()) for term in terms.values())
        terms["loss"].backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        assert float(weight.grad.abs().max()) > 0, name
    with torch.no_grad():
        scores = infoseg.cluster_scores(network.eval(), batch, config)  # type: ignore[arg-type]
    torch.testing.assert_close(scores.sum(1), torch.ones_like(scores[:, 0]))


@pytest.mark.parametrize("sets", OPTIONS, ids=str)
def test_every_option_changes_something(sets: dict[str, Any]) -> None:
    """So that none is a word without a meaning: loss or scores differ from those of the defaults."""

    def result(**changed: Any) -> tuple[float, Tensor]:
        config = tiny(LOADED, **{"crop": 32, "guide_batches": 1, "guide": 0.0, **changed})
        network = make_network(LOADED, config)
        large = torch.arange(4)[:, None, None].expand(4, 20, 20)  # superpixels of many places
        batch = toy_batch(LOADED, config, step=1, superpixels=large, superpixel_count=4)
        infoseg.loss(network, batch, config)  # type: ignore[arg-type]
        lost = infoseg.loss(network, replace(batch, step=2), config)["loss"]  # type: ignore[arg-type]
        return float(lost.detach()), infoseg.cluster_scores(network.eval(), batch, config).detach()  # type: ignore[arg-type]

    given = {name: value for name, value in sets.items() if value != getattr(Config(), name) and name != "crop"}
    if given in ({}, {"detach_v": True}):  # this changes gradients alone
        return
    before, after = result(), result(**given)
    assert before[0] != after[0] or not torch.equal(before[1], after[1])


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ({"negatives": "some"}, "negatives some: is not one of all, roll"),
        ({"projection": "mlp"}, "is not one of linear, nonlinear"),
        ({"stride": 8}, "stride 8: is not one of 2, 4"),
        ({"batch": 1}, "batch 1: must be at least 2"),
        ({"tau": 0.0}, "tau"), ({"agree": 1.5}, "agree 1.5: must be from 0 to 1"),
        ({"places": 0}, "places"), ({"context": -1}, "context"), ({"blocks": 0}, "blocks"),
    ],
)  # fmt: skip
def test_settings_that_no_training_can_go_by(sets: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_network(LOADED, tiny(LOADED, **sets))


def test_total_is_the_sum_of_its_parts() -> None:
    config = tiny(LOADED, guide=0.8, guided=0.0, guide_end=0.2, guide_batches=1)
    network = make_network(LOADED, config)
    infoseg.loss(network, toy_batch(LOADED, config, step=0), config)  # type: ignore[arg-type]
    terms = infoseg.loss(network, toy_batch(LOADED, config, step=1, progress=0.5), config)  # type: ignore[arg-type]
    parts = {name: float(term.detach()) for name, term in terms.items()}
    assert min(parts.values()) > 0
    assert parts["loss"] == pytest.approx(parts["positive"] + parts["negative"] + 0.5 * parts["guide"], rel=1e-5)


def test_half_precision_stops_before_the_bound() -> None:
    config = tiny(LOADED, guide=1.0)
    network = make_network(LOADED, config)
    batch = toy_batch(LOADED, config)
    with torch.autocast("cpu", torch.bfloat16):
        terms = infoseg.loss(network, batch, config)  # type: ignore[arg-type]
    assert {term.dtype for term in terms.values()} == {torch.float32}
    terms["loss"].backward()
    exact = infoseg.loss(make_network(LOADED, config), batch, config)  # type: ignore[arg-type]
    assert float(terms["loss"].detach()) == pytest.approx(float(exact["loss"].detach()), abs=0.1)


# ---------------------------------------------------------------------------------------- views


def test_local_features_do_not_know_the_smaller_view() -> None:
    config = tiny(LOADED, context=2)
    network, batch = make_network(LOADED, config).eval(), toy_batch(LOADED, config)
    assert isinstance(network, Network)
    whole = functional.avg_pool2d(batch.images, 2)
    first, seen = network(batch.images, whole)
    again, other = network(batch.images, 1 - whole)
    assert torch.equal(first, again)
    assert not torch.equal(seen, other)
    assert torch.equal(network.overview(whole, None), seen)


def test_running_statistics_below_the_local_features_know_the_crops_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those that labelling needs; all others know the smaller views."""
    monkeypatch.setattr(infoseg, "LIGHT", 0.0)
    config = tiny(LOADED, context=2)
    batch = toy_batch(LOADED, config)
    learnt, plain = make_network(LOADED, config), make_network(LOADED, config)
    infoseg.loss(learnt, batch, config)  # type: ignore[arg-type]
    assert isinstance(plain, Network)
    plain(batch.images)
    for name, module in learnt.named_modules():
        if isinstance(module, BatchNorm):
            assert module.running_mean is not None
            assert bool(module.running_mean.any()), name
            if name.startswith("near"):
                twin = plain.get_submodule(name)
                torch.testing.assert_close(module.running_mean, twin.running_mean)


def test_a_image_smaller_than_the_factor_is_seen_as_one_pixel() -> None:
    config = tiny(LOADED, context=9)
    whole = infoseg._smaller(torch.rand(1, 3, 4, 4), config)
    assert whole is not None
    assert whole.shape == (1, 3, 1, 1)
    batch = Batch(torch.rand(2, 3, 8, 8), torch.arange(2))
    with torch.no_grad():
        scores = infoseg.cluster_scores(make_network(LOADED, config).eval(), batch, config)  # type: ignore[arg-type]
    assert scores.shape == (2, 3, 8, 8)


def test_mirrored_views_have_mirrored_masks() -> None:
    config = tiny(LOADED, context=1, context_light=0.0)
    mask = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5
    mirrored = set()
    for step in range(8):
        batch = toy_batch(LOADED, config, step=step, mask=mask)
        batch = replace(batch, images=mask[:, None].float().expand(4, 3, 16, 16))
        whole, inside = infoseg._changed_view(batch, config)
        assert whole is not None
        assert inside is not None
        assert torch.equal(whole[:, 0].bool(), inside)
        mirrored |= {torch.equal(one, other) for one, other in zip(inside, mask, strict=True)}
    assert mirrored == {True, False}


def test_what_is_seen_of_a_image_is_a_mean_over_what_is_valid() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert infoseg._mean_inside(maps, None).tolist() == [[2.5]]
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    inside[:, 2:] = False
    inside[:, :2, 3] = False  # so 1 counts wholly and 2 by half: (1 + 1) / 1.5
    assert infoseg._mean_inside(maps, inside).tolist() == [[pytest.approx(4 / 3)]]
    assert infoseg._mean_inside(maps, torch.zeros_like(inside)).tolist() == [[0]]


def test_crops_are_lit_where_there_is_a_second_view_and_only_there() -> None:
    seen: list[Tensor] = []
    for context in (0, 2):
        config = tiny(LOADED, context=context)
        network, batch = make_network(LOADED, config), toy_batch(LOADED, config)
        network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        infoseg.loss(network, batch, config)  # type: ignore[arg-type]
    assert torch.equal(seen[0], batch.images)
    assert not torch.equal(seen[1], batch.images)
    assert float((seen[1] - batch.images).abs().mean()) < 0.1


# ---------------------------------------------------------------------------------------- large images


def trained(**sets: Any) -> Trained:
    """A network that is no longer at its start, as `cluster` has it."""
    config = tiny(LOADED, width=8, **sets)
    network = make_network(LOADED, config)
    with torch.no_grad():
        for step in range(3):
            infoseg.loss(network, toy_batch(LOADED, config, step=step), config)  # type: ignore[arg-type]
    return Trained(network.eval().requires_grad_(False), LOADED, config, READING, None, torch.device("cpu"))


def uneven_image() -> np.ndarray:
    """Left and right are of different colours, so that tiles seen alone would have other class features."""
    image = two_colours(1, 128, 512)
    image[:, :256] = image[:, :256] // 2
    return image


@pytest.mark.parametrize("sets", [{"context": 2}, {"context": 0}, {"pool_logits": False}], ids=str)
def test_tiles_give_what_the_whole_gives(sets: dict[str, Any]) -> None:
    model = trained(**sets)
    image = uneven_image()
    whole, tiled = (scores_of(model, image, tile=tile) for tile in (512, 256))
    assert np.abs(tiled - whole).max() < 0.01
    assert (tiled.argmax(axis=0) == whole.argmax(axis=0)).mean() > 0.99
    alone = [scores_of(model, image[:, part], tile=512) for part in (slice(0, 256), slice(256, 512))]
    assert np.abs(np.concatenate(alone, axis=2) - whole).max() > 0.03, "the test needs tiles that differ"


def test_a_image_that_is_seen_as_a_whole_has_no_endless_reach() -> None:
    assert reach_of(trained(), 256) < 128


def test_void_tiles_have_no_part_in_the_whole() -> None:
    model, image = trained(), uneven_image()
    valid = np.ones(image.shape[:2], bool)
    valid[:, 256:] = False
    tiled = scores_of(model, image, valid, tile=256)
    np.testing.assert_allclose(tiled[:, :, :160], scores_of(model, image[:, :256], tile=256)[:, :, :160], atol=1e-4)
    assert np.isfinite(scores_of(model, image, np.zeros_like(valid), tile=256)).all()


# ---------------------------------------------------------------------------------------- presets


def test_presets_are_the_published_rows() -> None:
    assert preset_names("infoseg") == [
        "coco-persons", "coco-stuff-15", "coco-stuff-3", "paper", "potsdam", "potsdam-3"
    ]  # fmt: skip
    rows = {"coco-persons": (2, 128), "coco-stuff-15": (15, 128), "coco-stuff-3": (3, 128), "potsdam": (6, 200)}
    rows["potsdam-3"] = (3, 200)
    first = read_preset("infoseg", "paper")
    for name, (classes, crop) in rows.items():
        values = read_preset("infoseg", name)
        config = config_from(LOADED, values)
        assert (config.classes, config.crop) == (classes, crop)
        assert {key: value for key, value in values.items() if key not in ("classes", "crop")} == {
            key: value for key, value in first.items() if key not in ("classes", "crop")
        }


def test_first_reading_of_the_paper_has_nothing_of_ours() -> None:
    """That it says every setting is tested in tests/test_presets.py."""
    config = config_from(LOADED, read_preset("infoseg", "paper"))
    ours = ("agree", "context", "guide")
    assert {name: getattr(config, name) for name in ours} == dict.fromkeys(ours, 0)
    assert (config.normalize, config.pool_logits, config.negatives) == (False, False, "roll")


def test_a_paper_network_is_as_wide_as_said() -> None:
    network = infoseg.Network(config_from(LOADED, {**read_preset("infoseg", "paper"), "classes": 3}), 4)
    local, seen = network.eval()(torch.rand(1, 4, 32, 40))
    assert local.shape == (1, 256, 8, 10)
    assert seen.shape == (1, 512)
    assert network.class_features(seen).shape == (1, 3, 256)
