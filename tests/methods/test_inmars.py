"""InMARS: its terms by hand, and what its disturbances must and must not do."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import make_network, regions_of, tiny, toy_batch, toy_batches, toy_pool

from unsegcli.core.nn.shrinking import shrunk
from unsegcli.core.nn.warp import seen, warp
from unsegcli.methods import inmars
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import find_method
from unsegcli.methods.inmars import Config, GridRegions, divergence
from unsegcli.training.batches import on_device
from unsegcli.training.optim import make_optimizer

LOADED = find_method("inmars")
LN2, LN3 = math.log(2), math.log(3)
PLAIN = Config(
    classes=2, overclusters=0, evenness=2.0, pool_logits=True, shrink=1, guide=0.0, in_turns=False, rising=0.2
)  # fmt: skip
ENTROPY_OF_A_QUARTER = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)


class Fixed(nn.Module):
    """Gives the same logits whatever it is shown."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.first = None

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def two_superpixels() -> tuple[Fixed, Batch]:
    """Superpixel 0 has three pixels of probabilities (3/4, 1/4), superpixel 1 has one of (1/2, 1/2)."""
    regions = torch.tensor([[[0, 0], [0, 1]]])
    first = torch.where(regions == 0, LN3, 0.0)
    logits = torch.stack([first, torch.zeros_like(first)], 1)
    return Fixed(logits), Batch(torch.zeros(1, 3, 2, 2), torch.arange(1), superpixels=regions, superpixel_count=2)


def test_information_by_hand() -> None:
    """Equation: mean conditional entropy - mu x entropy of the mean.

    Superpixels count by area: conditional 3/4 x 0.56234 + 1/4 x 0.69315 = 0.59504; mean posterior (11/16, 5/16),
    marginal 0.62109; loss 0.59504 - 2 x 0.62109 = -0.64713.
    """
    network, batch = two_superpixels()
    terms = inmars.loss(network, batch, PLAIN)  # at its start: information alone
    conditional = 0.75 * ENTROPY_OF_A_QUARTER + 0.25 * LN2
    mean = 11 / 16
    marginal = -mean * math.log(mean) - (1 - mean) * math.log(1 - mean)
    assert (conditional, marginal) == pytest.approx((0.59504, 0.62109), abs=1e-5)
    expected = {"loss": conditional - 2 * marginal, "conditional": conditional, "marginal": marginal}
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(expected, abs=1e-6)


def test_divergence_by_hand() -> None:
    """KL((3/4, 1/4), (1/2, 1/2)) = 3/4 ln 3/2 + 1/4 ln 1/2 = 0.13081, the other way round 0.14384; weights 3/4, 1/4."""
    quarter, half = torch.tensor([0.75, 0.25]).log(), torch.tensor([0.5, 0.5]).log()
    first, second, weights = torch.stack([quarter, half]), torch.stack([half, quarter]), torch.tensor([0.75, 0.25])
    found = divergence([first], [second], weights)
    assert float(found) == pytest.approx(0.75 * 0.13081 + 0.25 * 0.14384, abs=1e-5)
    assert float(divergence([first, first], [second, second], weights)) == pytest.approx(2 * float(found))
    assert float(divergence([first], [first], weights)) == 0


def test_pooling_of_logits_and_of_probabilities_by_hand() -> None:
    """Logits of first against second cluster: ln 3 and 0. Their mean ln 3 / 2 gives 0.63397; the mean of 3/4 and 1/2
    is 5/8."""
    logits = torch.tensor([[[[LN3, 0.0]], [[0.0, 0.0]]]])
    one = GridRegions(torch.tensor([[[0, 0]]]), 1, torch.tensor([2.0]), torch.tensor([1.0]))
    for pool_logits, expected in ((True, 0.63397), (False, 0.625)):
        (found,), areas = one.posteriors(logits, dataclasses.replace(PLAIN, pool_logits=pool_logits))
        assert found.exp()[0].tolist() == pytest.approx([expected, 1 - expected], abs=1e-5)
        assert areas.tolist() == [2]
        (unseen,), areas = one.posteriors(logits, PLAIN, torch.tensor([[[True, False]]]))
        assert unseen.exp()[0].tolist() == pytest.approx([0.75, 0.25])
        assert areas.tolist() == [1]


def test_second_head_adds_its_own_information() -> None:
    """Both heads see the logits of the first case; so the loss is twice as large, and the terms are those of one."""
    network, batch = two_superpixels()
    alone = inmars.loss(network, batch, PLAIN)
    both = Fixed(torch.cat([network.logits.detach()] * 2, 1))
    terms = inmars.loss(both, batch, dataclasses.replace(PLAIN, overclusters=2))
    assert float(terms["loss"].detach()) == pytest.approx(2 * float(alone["loss"].detach()))
    assert torch.equal(terms["marginal"], alone["marginal"])
    assert torch.equal(inmars.cluster_scores(both, batch, PLAIN), inmars.cluster_scores(network, batch, PLAIN))


# ---------------------------------------------------------------------------------------- the schedule


@pytest.mark.parametrize(
    ("alone", "rising", "progress", "expected"),
    [
        (0.5, 0.2, 0.4, 0), (0.5, 0.2, 0.5, 0), (0.5, 0.2, 0.6, 0.5), (0.5, 0.2, 0.7, 1), (0.5, 0.2, 1, 1),
        (0.5, 0, 0.4, 0), (0.5, 0, 0.5, 1), (0, 0, 0, 1), (0, 0.2, 0.05, 0.25),
    ],
)  # fmt: skip
def test_share_of_the_disturbances(alone: float, rising: float, progress: float, expected: float) -> None:
    config = Config(alone=alone, rising=rising)
    assert inmars._share(config, progress) == pytest.approx(expected)


def test_total_is_the_sum_of_its_parts() -> None:
    sets = {"noise_weight": 3.0, "space_weight": 0.5, "evenness": 1.5, "overclusters": 0, "in_turns": False}
    config = tiny(LOADED, alone=0.2, rising=0.4, guide=0.8, guided=0.0, guide_end=0.2, **sets)
    terms = inmars.loss(guided_network(config), toy_batch(LOADED, config, progress=0.3), config)
    parts = {name: float(term.detach()) for name, term in terms.items()}
    information = parts["conditional"] - 1.5 * parts["marginal"]
    disturbed = 0.25 * (3 * parts["noise"] + 0.5 * parts["space"])
    assert min(parts.values()) > 0
    assert parts["loss"] == pytest.approx(information + disturbed + 0.62 * parts["guide"], rel=1e-5)


@pytest.mark.parametrize(
    ("sets", "left"),
    [
        ({"noise_weight": 0.0}, {"space"}), ({"space_weight": 0.0}, {"noise"}), ({"tries": 0}, {"noise"}),
        ({"alone": 1.0}, set()), ({}, {"noise", "space"}), ({"guide": 1.0}, {"noise", "space", "guide"}),
    ],
)  # fmt: skip
def test_each_disturbance_can_be_left_out(sets: dict[str, Any], left: set[str]) -> None:
    config = tiny(LOADED, **{"guide": 0.0, "in_turns": False, **sets})
    terms = inmars.loss(make_network(LOADED, config), toy_batch(LOADED, config, progress=0.9), config)
    assert set(terms) - {"loss", "conditional", "marginal"} == left


@pytest.mark.parametrize(
    ("step", "sets", "expected"),
    [
        (0, {}, (0, 1)), (1, {}, (6, 0)), (2, {}, (0, 1)), (0, {"in_turns": False}, (3, 0.5)),
        (1, {"in_turns": False}, (3, 0.5)), (0, {"space_weight": 0.0}, (3, 0)), (1, {"space_weight": 0.0}, (3, 0)),
        (1, {"noise_weight": 0.0}, (0, 0.5)), (1, {"tries": 0}, (3, 0)), (1, {"alone": 1.0}, (0, 0)),
    ],
)  # fmt: skip
def test_disturbances_take_turns(step: int, sets: dict[str, Any], expected: tuple[float, float]) -> None:
    """Noise at odd steps, space at even ones, with twice the weight; one that is alone has all steps."""
    config = Config(**{"noise_weight": 3.0, "space_weight": 0.5, **sets})
    batch = Batch(torch.zeros(1, 3, 2, 2), torch.arange(1), step=step, progress=0.9)
    assert inmars._weights(config, batch) == expected


def test_each_turn_has_its_own_term() -> None:
    config = tiny(LOADED, guide=0.0, overclusters=0)
    for step, name in enumerate(("space", "noise", "space")):
        terms = inmars.loss(make_network(LOADED, config), toy_batch(LOADED, config, step=step), config)
        assert set(terms) == {"loss", "conditional", "marginal", name}
        information = terms["conditional"] - config.evenness * terms["marginal"]
        torch.testing.assert_close(terms["loss"], information + 2 * terms[name])


# ---------------------------------------------------------------------------------------- the first grouping


def guided_network(config: Any) -> nn.Module:
    """A network whose superpixels have been grouped."""
    network = make_network(LOADED, config)
    for step in range(config.guide_batches):
        inmars.loss(network, toy_batch(LOADED, config, step=step), config)
    return network


def test_guidance_is_nothing_until_the_grouping_is_there() -> None:
    config = tiny(LOADED, guide_batches=3)
    network = make_network(LOADED, config)
    lost = [
        float(inmars.loss(network, toy_batch(LOADED, config, step=step), config)["guide"].detach()) for step in range(5)
    ]
    assert lost[:3] == [0, 0, 0]
    assert min(lost[3:]) > 0.1


def test_guidance_of_void_alone_is_nothing() -> None:
    config = tiny(LOADED)
    nowhere = torch.full((4, 16, 16), -1)
    none = regions_of(torch.zeros(4, 3, 16, 16), nowhere, 0)
    void = toy_batch(LOADED, config, superpixels=nowhere, superpixel_count=0, regions=none)
    terms = inmars.loss(guided_network(config), void, config)
    assert float(terms["guide"].detach()) == 0
    assert math.isfinite(float(terms["loss"].detach()))


def test_without_guide_there_is_no_grouping() -> None:
    names = make_network(LOADED, tiny(LOADED, guide=0.0)).state_dict()
    assert not [name for name in names if name.startswith("first")]


# ---------------------------------------------------------------------------------------- half the resolution


@pytest.mark.parametrize("shrink", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (31, 32), (5, 7)])
def test_scores_have_the_size_of_the_image(shrink: int, height: int, width: int) -> None:
    config = tiny(LOADED, shrink=shrink)
    network = make_network(LOADED, config).eval()
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = inmars.cluster_scores(network, Batch(images, torch.arange(2)), config)
    assert scores.shape == (2, 3, height, width)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, height, width))


def test_a_shrunk_batch_has_the_loss_of_its_half() -> None:
    config = tiny(LOADED, crop=20, batch=2)
    batch, network = toy_batch(LOADED, config), make_network(LOADED, config)
    halved = inmars.loss(network, batch, dataclasses.replace(config, shrink=2))["loss"]
    network = make_network(LOADED, config)
    assert torch.equal(halved, inmars.loss(network, shrunk(batch, 2), config)["loss"])


# ---------------------------------------------------------------------------------------- adversarial noise


def setting(seed: int, **sets: Any) -> tuple[nn.Module, Batch, Any, list[Tensor], GridRegions]:
    """A network that is no longer at its start, a batch, and the posteriors of its superpixels."""
    config = tiny(LOADED, **sets)
    network, batch = make_network(LOADED, config, seed=seed), toy_batch(LOADED, config, step=seed, seed=seed)
    with torch.no_grad():
        network.head.weight.normal_(generator=torch.Generator().manual_seed(seed))  # type: ignore[union-attr]
        logits = network(batch.images)
        superpixels = inmars._superpixels(batch, logits.shape[2:])
        target, _ = superpixels.posteriors(logits, config)
    return network, batch, config, target, superpixels


def test_noise_has_the_length_asked_for() -> None:
    network, batch, config, target, superpixels = setting(0, noise=0.03)
    noise = inmars.adversarial_noise(network, batch, config, target, superpixels)
    assert not noise.requires_grad
    roots = noise.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(roots, torch.full((4,), 0.03))


@pytest.mark.parametrize("power_steps", [0, 1, 2])
def test_noise_lies_on_valid_pixels_alone(power_steps: int) -> None:
    """It has the root mean square asked for there; an image that is all void has none."""
    network, batch, config, target, superpixels = setting(0, noise=0.03, power_steps=power_steps)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[0, :5] = mask[1, :, 3:] = mask[2] = False
    noise = inmars.adversarial_noise(network, dataclasses.replace(batch, mask=mask), config, target, superpixels)
    assert not bool((noise * ~mask[:, None]).any())
    roots = (noise.square().sum((1, 2, 3)) / (3 * mask.sum((1, 2)).clamp_min(1))).sqrt()
    torch.testing.assert_close(roots, torch.tensor([0.03, 0.03, 0.0, 0.03]))


@pytest.mark.parametrize("power_steps", [1, 2])
def test_adversarial_noise_does_more_harm_than_chance(power_steps: int) -> None:
    ours, chances = [], []
    for seed in range(5):
        network, batch, config, target, superpixels = setting(seed, power_steps=power_steps)
        noise = inmars.adversarial_noise(network, batch, config, target, superpixels)
        chance = torch.randn(noise.shape, generator=torch.Generator().manual_seed(seed))
        chance *= (noise.flatten(1).norm(dim=1) / chance.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
        for found, added in ((ours, noise), (chances, chance)):
            with torch.no_grad():
                after, _ = superpixels.posteriors(network(batch.images + added), config)
            found.append(float(divergence(target, after, superpixels.weights)))
    assert sum(ours) > 2 * sum(chances)


def test_noise_starts_far_shorter_than_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch, config, target, superpixels = setting(0, noise=0.03)
    forward, started = network.forward, []

    def noted(images: Tensor) -> Tensor:
        started.append(float((images - batch.images).detach().square().mean().sqrt()))
        found: Tensor = forward(images)
        return found

    monkeypatch.setattr(network, "forward", noted)
    inmars.adversarial_noise(network, batch, config, target, superpixels)
    assert started == pytest.approx([0.01 * 0.03], rel=0.01)


def test_noise_is_the_same_in_half_precision() -> None:
    """Its passes are in single precision: half precision would round the short start away."""
    network, batch, config, target, superpixels = setting(0)
    exact = inmars.adversarial_noise(network, batch, config, target, superpixels)
    with torch.autocast("cpu", torch.bfloat16):
        half = inmars.adversarial_noise(network, batch, config, target, superpixels)
    torch.testing.assert_close(half, exact)


# ---------------------------------------------------------------------------------------- spatial change


def test_worst_of_several_changes_counts() -> None:
    """With one crop the term is the divergence of that crop: the largest of all that were tried."""
    firsts = []
    for seed in range(4):
        network, batch, config, target, superpixels = setting(seed, batch=1)
        each = [
            float(inmars._change(network, batch, config, target, superpixels, inmars._matrices(batch, config, attempt)))
            for attempt in range(4)
        ]
        for tries in (1, 2, 4):
            tried = dataclasses.replace(config, tries=tries)
            found = float(inmars._spatial(network, batch, tried, target, superpixels).detach())
            assert found == pytest.approx(max(each[:tries]), rel=1e-4)
        firsts.append(each[0] < max(each))
    assert any(firsts)


def test_each_crop_has_its_own_worst_change(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch, config, target, superpixels = setting(1, tries=3)
    taken: list[Tensor] = []
    after = inmars._after

    def noted(*arguments: Any) -> tuple[Tensor, Tensor]:
        taken.append(arguments[-1])
        return after(*arguments)

    monkeypatch.setattr(inmars, "_after", noted)
    inmars._spatial(network, batch, config, target, superpixels)
    tried, chosen = taken[:-1], taken[-1]
    changes = torch.stack([inmars._change(network, batch, config, target, superpixels, one) for one in tried])
    worst = changes.argmax(0)
    assert torch.equal(chosen, torch.stack([tried[int(attempt)][crop] for crop, attempt in enumerate(worst)]))
    assert len(set(worst.tolist())) > 1


def test_no_change_in_space_and_light_changes_nothing() -> None:
    still = {"turn": 0.0, "zoom": 0.0, "shift": 0.0, "shear": 0.0, "flip": False, "light": 0.0}
    network, batch, config, target, superpixels = setting(0, **still)
    found = inmars._spatial(network, batch, config, target, superpixels).detach()
    assert float(found) == pytest.approx(0, abs=1e-6)


class Noted(nn.Module):
    """Keeps what it is shown, and gives the same logits everywhere."""

    shown: Tensor

    def forward(self, images: Tensor) -> Tensor:
        self.shown = images
        return images.new_zeros(len(images), 8, 4, 4)


def test_changed_crops_have_no_black_border() -> None:
    """Of images of one colour, every pixel that the network sees has this colour."""
    _, batch, config, _, superpixels = setting(0, light=0.0, turn=40.0, zoom=0.4, shift=0.3)
    plain = dataclasses.replace(batch, images=torch.full_like(batch.images, 0.7))
    matrices, noted = inmars._matrices(plain, config, 0), Noted()
    assert not bool(seen(plain.images, matrices).all())
    inmars._after(noted, plain, config, superpixels, matrices)
    torch.testing.assert_close(noted.shown, plain.images)


def test_void_stays_void_under_changes_of_light() -> None:
    _, batch, config, _, superpixels = setting(0, light=0.9)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[:, :, :5] = False
    images, noted = batch.images * mask[:, None], Noted()
    still = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(4, 2, 3)
    inmars._after(noted, dataclasses.replace(batch, images=images, mask=mask), config, superpixels, still)
    assert not bool((noted.shown * ~mask[:, None]).any())
    inside = dataclasses.replace(batch, images=images[:, :, :, 5:], mask=None)
    alone = Noted()
    inmars._after(alone, inside, config, superpixels, still)
    torch.testing.assert_close(noted.shown[:, :, :, 5:], alone.shown, atol=1e-5, rtol=1e-5)


def test_void_stays_void_in_changed_crops() -> None:
    """Pixels are black if any part of them is from a void one, and as bright as before otherwise."""
    _, batch, config, _, superpixels = setting(0, light=0.0)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[:, :, :5] = False
    images = torch.where(mask[:, None], 0.7, 0.0).expand(-1, 3, -1, -1)
    flip = torch.tensor([[-1.0, 0, 0], [0, 1, 0]]).expand(4, 2, 3)
    for matrices in (flip, inmars._matrices(batch, config, 0)):
        noted = Noted()
        inmars._after(noted, dataclasses.replace(batch, images=images, mask=mask), config, superpixels, matrices)
        black = noted.shown == 0
        assert bool((black | ((noted.shown - 0.7).abs() < 1e-3)).all())
        part = warp((~mask)[:, None].float(), matrices, mirrored=True)
        assert bool(black[(part > 0.01).expand_as(black)].all())
        assert not bool(black[(part == 0).expand_as(black)].any())


def test_mirrored_crops_come_back_to_their_superpixels() -> None:
    """A network that looks at small squares by themselves must give the mirrored image the mirrored clusters."""
    _, batch, config, _, superpixels = setting(0, light=0.0)
    squarewise = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, config.classes + config.overclusters, 1))
    target, _ = superpixels.posteriors(squarewise(batch.images), config)
    flip = torch.tensor([[-1.0, 0, 0], [0, 1, 0]]).expand(4, 2, 3)
    after, areas = inmars._after(squarewise, batch, config, superpixels, flip)
    for one, other in zip(after, target, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(areas, superpixels.areas)


def test_what_is_hidden_by_half_gets_no_weight() -> None:
    areas, weights = torch.tensor([10.0, 10, 10, 0]), torch.tensor([0.5, 0.25, 0.25, 0])
    superpixels = GridRegions(torch.zeros(1, 1, 1, dtype=torch.int64), 4, areas, weights)
    weights = inmars._still_seen(superpixels, torch.tensor([10.0, 5, 4, 0]))
    assert weights.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    nothing = inmars._still_seen(superpixels, torch.zeros(4))
    assert nothing.tolist() == [0, 0, 0, 0]


# ---------------------------------------------------------------------------------------- what must not matter


def test_running_statistics_know_the_images_alone() -> None:
    """They are those of one pass over the images as they are, whatever was disturbed beside."""
    config = tiny(LOADED)
    batch = toy_batch(LOADED, config)
    disturbed, plain = make_network(LOADED, config), make_network(LOADED, config)
    inmars.loss(disturbed, batch, config)["loss"].backward()
    plain(batch.images)
    wanted = dict(plain.named_buffers())
    running = [name for name in wanted if "running" in name]
    assert running
    for name, value in disturbed.named_buffers():
        if name in running:
            torch.testing.assert_close(value, wanted[name], msg=name)


def numbers_of(batch: Batch, config: Any) -> dict[str, float]:
    network = make_network(LOADED, config)
    return {name: float(term.detach()) for name, term in inmars.loss(network, batch, config).items()}


def test_order_of_the_numbers_does_not_matter() -> None:
    config = tiny(LOADED)
    batch = toy_batch(LOADED, config)
    assert batch.superpixels is not None
    order = torch.randperm(batch.superpixel_count, generator=torch.Generator().manual_seed(0))
    turned = dataclasses.replace(batch, superpixels=order[batch.superpixels])
    assert numbers_of(turned, config) == pytest.approx(numbers_of(batch, config), rel=1e-4, abs=1e-6)


def test_numbers_without_a_pixel_do_no_harm() -> None:
    config = tiny(LOADED, guide=0.0)
    batch = toy_batch(LOADED, config)
    assert batch.superpixels is not None
    count = 2 * batch.superpixel_count + 9
    more = dataclasses.replace(batch, superpixels=2 * batch.superpixels + 3, superpixel_count=count)
    assert numbers_of(more, config) == pytest.approx(numbers_of(batch, config), rel=1e-4, abs=1e-6)
    network = make_network(LOADED, config)
    inmars.loss(network, more, config)["loss"].backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in network.parameters() if weight.grad is not None)


def test_a_batch_of_void_alone_has_a_finite_loss() -> None:
    config = tiny(LOADED)
    batch = toy_batch(LOADED, config, superpixels=torch.full((4, 16, 16), -1), superpixel_count=0)
    assert all(math.isfinite(value) for value in numbers_of(batch, config).values())


@pytest.mark.parametrize("pool_logits", [True, False])
def test_void_pixels_have_no_influence_on_posteriors(pool_logits: bool) -> None:
    config = dataclasses.replace(PLAIN, pool_logits=pool_logits)
    batch = toy_batch(LOADED, tiny(LOADED))
    assert batch.superpixels is not None
    regions = batch.superpixels.clone()
    regions[:, :5] = -1
    superpixels = inmars._superpixels(dataclasses.replace(batch, superpixels=regions), (16, 16))
    logits = torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = logits.clone()
    changed[:, :, :5] = 50
    (first,), areas = superpixels.posteriors(logits, config)
    assert torch.equal(first, superpixels.posteriors(changed, config)[0][0])
    assert int(areas.sum()) == 4 * 11 * 16
    assert float(superpixels.weights.sum()) == pytest.approx(1)


def test_scores_of_a_superpixel_are_those_of_its_mean_logit() -> None:
    network, batch = two_superpixels()
    network.logits.data[0, 0] += torch.tensor([[1.0, 2.0], [-3.0, 0.0]])  # in superpixel 0 they cancel out
    regions = batch.superpixels
    scores = inmars.cluster_scores(network, batch, PLAIN)
    assert isinstance(regions, Tensor)
    torch.testing.assert_close(scores[0, 0], torch.where(regions[0] == 0, 0.75, 0.5))
    void = dataclasses.replace(batch, superpixels=torch.full_like(regions, -1), superpixel_count=0)
    torch.testing.assert_close(inmars.cluster_scores(network, void, PLAIN), network.logits.softmax(1))


def test_superpixels_are_needed() -> None:
    config = tiny(LOADED)
    with pytest.raises(ValueError, match="superpixels"):
        inmars.loss(make_network(LOADED, config), toy_batch(LOADED, config, superpixels=None), config)
    assert LOADED.needs(config) == ("superpixels", "regions")
    assert LOADED.needs(tiny(LOADED, guide=0.0)) == ("superpixels",)


def test_crops_of_superpixels() -> None:
    regions = torch.tensor([[[0, 1]], [[3, -1]]])
    superpixels = GridRegions(regions, 5, torch.ones(5), torch.ones(5) / 5)
    assert superpixels.crop_of().tolist() == [0, 0, 0, 1, 0]


def test_two_colours_become_two_clusters() -> None:
    config = tiny(LOADED, learning_rate=1e-2, classes=2, crop=32)
    batches = toy_batches(LOADED, config, toy_pool(8, 36, 36), steps=50)
    network = make_network(LOADED, config)
    optimizer = make_optimizer(network, config)
    for step in range(50):
        optimizer.zero_grad()
        inmars.loss(network, on_device(batches.at(step), torch.device("cpu")), config)["loss"].backward()
        optimizer.step()
    batch = on_device(batches.at(0), torch.device("cpu"))
    with torch.no_grad():
        found = inmars.cluster_scores(network.eval(), batch, config).argmax(1).bool()
    same = float((found == (batch.images.mean(1) > 0.45)).double().mean())
    assert max(same, 1 - same) > 0.85
