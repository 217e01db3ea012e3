"""The context method: hidden blocks, groups, words and the gate, by hand and by what must hold."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from unsegcli.core.draws import Draws
from unsegcli.core.superpixels.features import feature_groups
from unsegcli.core.superpixels.region_space import dimensions_of
from unsegcli.core.vector_space import Layer
from unsegcli.errors import ConfigError
from unsegcli.methods import context
from unsegcli.methods._contract import Batch, Regions
from unsegcli.methods.context import (
    EVERYTHING,
    NOTHING,
    Config,
    Explained,
    Network,
    contexts_of,
    drawn_tokens,
    hidden_blocks,
    shuffled_groups,
)

SIDE = 8  # regions along a side of an image
FEATURES = feature_groups(1)["surroundings"].stop
SMALL = Config(width=16, layers=2, heads=2, words=4, classes=2, batch=8, min_steps=1, beside=0.0)


def grid_regions(kinds: np.ndarray, seed: int = 0, outside: int = 0) -> Regions:
    """Images of SIDE x SIDE regions of two kinds (images, SIDE, SIDE) that differ in all own features.

    The last `outside` regions of each image have no pixel.
    """
    chance, count = np.random.default_rng(seed), len(kinds)
    features = chance.normal(0, 0.1, (count, SIDE * SIDE, FEATURES)).astype(np.float32)
    features[..., : feature_groups(1)["patches"].stop] += kinds.reshape(count, -1, 1)
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    centres = ((np.stack([rows, columns], 1) + 0.5) / SIDE).astype(np.float32)
    features[..., feature_groups(1)["position"]] = centres
    areas = np.ones((count, SIDE * SIDE), np.float32)
    areas[:, SIDE * SIDE - outside :] = 0
    crops = np.repeat(np.arange(count), SIDE * SIDE)
    parts = (features.reshape(-1, FEATURES), np.tile(centres, (count, 1)), areas.ravel(), crops)
    return Regions(*map(torch.from_numpy, parts))


def batch_of(regions: Regions, step: int = 0) -> Batch:
    count = int(regions.crops.max()) + 1
    numbers = torch.arange(count)
    maps = torch.arange(SIDE * SIDE).view(1, SIDE, SIDE) + SIDE * SIDE * numbers[:, None, None]
    return Batch(
        torch.zeros(count, 1, SIDE, SIDE), numbers + 100 * step, step=step, superpixels=maps,
        superpixel_count=count * SIDE * SIDE, regions=regions, image_numbers=numbers,
    )  # fmt: skip


def halved(images: int = 16) -> np.ndarray:
    """Two halves of different kinds, parted at any column or row: neighbours tell what a region is."""
    chance, kinds = np.random.default_rng(1), np.zeros((images, SIDE, SIDE))
    for image in kinds:
        side = image if chance.random() < 0.5 else image.T
        side[:, chance.integers(2, SIDE - 1) :] = 1
    return kinds


def shuffled(images: int = 16) -> np.ndarray:
    """Each region by lot: neighbours tell nothing."""
    return np.random.default_rng(1).integers(0, 2, (images, SIDE, SIDE)).astype(float)


def trained(kinds: np.ndarray, steps: int = 60) -> tuple[Network, Batch]:
    torch.manual_seed(0)
    network, batch = Network(SMALL, 1), batch_of(grid_regions(kinds))
    context.prepare(network, iter([batch]), SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for step in range(steps):
        optimizer.zero_grad()
        context.loss(network, batch_of(grid_regions(kinds), step), SMALL)["loss"].backward()
        optimizer.step()
    context.finish(network.eval(), iter([batch]), SMALL)
    return network, batch


def test_context_counts_where_neighbours_tell_something_and_only_there() -> None:
    telling, batch = trained(halved())
    assert float(telling.explained) > EVERYTHING
    assert telling.weight == 1
    silent, other = trained(shuffled())
    assert float(silent.explained) < NOTHING
    assert silent.weight == 0
    # The result is then that of k-means on regions.
    vectors = context.region_vectors(silent, other, SMALL)
    assert other.regions is not None
    floor = silent.in_space(other.regions.features)
    torch.testing.assert_close(vectors[:, : floor.shape[1]], floor)
    assert not vectors[:, floor.shape[1] :].any()
    assert context.region_vectors(telling, batch, SMALL)[:, floor.shape[1] :].any()


@pytest.mark.parametrize(("explained", "expected"), [(0.0, 0.0), (0.05, 0.0), (0.15, 0.5), (0.25, 1.0), (0.9, 1.0)])
def test_weight_by_hand(explained: float, expected: float) -> None:
    network = Network(SMALL, 1)
    network.explained.fill_(explained)
    assert network.weight == pytest.approx(expected, abs=1e-6)


def test_explained_by_hand() -> None:
    """Words 0 and 1 in shares of 3/4 and 1/4, and a loss of a nat for every four hidden regions."""
    measured = Explained(3)
    measured.seen, measured.lost, measured.hidden = np.array([3.0, 1.0, 0.0]), 1.0, 4
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert measured.share == pytest.approx(1 - 0.25 / entropy)
    measured.lost = 100.0
    assert measured.share == 0
    measured.seen = np.array([4.0, 0.0, 0.0])
    assert measured.share == 0  # one word: nothing to explain
    assert Explained(3).share == 0  # nothing hidden


def test_hidden_regions_are_rectangles_of_the_image() -> None:
    regions = grid_regions(halved(40))
    tokens = drawn_tokens(regions, Draws(0, 0, torch.arange(40)), 1000)
    centres = regions.centres[tokens.numbers]
    hidden = hidden_blocks(centres, tokens.present, Draws(0, 0, torch.arange(40)))
    share = float(hidden.float().mean())
    assert 0.25 < share < 0.6
    beside = [  # a neighbour of a hidden region is hidden more often than others
        hidden[row][(centres[row] - centres[row, number]).abs().sum(1) < 1.5 / SIDE].float().mean()
        for row in range(40)
        for number in range(SIDE * SIDE)
        if hidden[row, number]
    ]
    assert float(torch.stack(beside).mean()) > share + 0.15
    assert not hidden_blocks(centres, torch.zeros_like(tokens.present), Draws(0, 0, torch.arange(40))).any()


def test_regions_outside_the_crop_are_not_seen() -> None:
    regions = grid_regions(halved(3), outside=10)
    tokens = drawn_tokens(regions, Draws(0, 0, torch.arange(3)), 1000)
    for row, (numbers, present) in enumerate(zip(*tokens, strict=True)):
        assert sorted(numbers[present].tolist()) == list(range(row * 64, row * 64 + 54))
    assert not contexts_of(Network(SMALL, 1), regions, SMALL, 0)[regions.areas == 0].any()


def test_a_batch_of_void_alone() -> None:
    network, batch = trained(halved(), steps=1)
    void = batch_of(grid_regions(halved(), outside=SIDE * SIDE))
    assert float(context.loss(network, void, SMALL)["loss"].detach()) == 0
    assert not contexts_of(network, context._regions(void), SMALL, 0).any()
    assert batch.regions is not None
    none, nowhere = Regions(*(part[:0] for part in batch.regions)), torch.full((16, SIDE, SIDE), -1)
    for last in (0, 15):  # wherever the crop without regions is
        some = grid_regions(halved())
        some.areas[some.crops == last] = 0
        rest = Regions(*(part[some.crops != last] for part in some))
        assert math.isfinite(
            float(context.loss(network, dataclasses.replace(batch, regions=rest), SMALL)["loss"].detach())
        )
    nothing = dataclasses.replace(void, superpixels=nowhere, superpixel_count=0, regions=none)
    torch.testing.assert_close(context.cluster_scores(network, nothing, SMALL), torch.full((16, 2, SIDE, SIDE), 0.5))


def test_as_many_tokens_as_asked_for() -> None:
    regions = grid_regions(halved(3))
    tokens = drawn_tokens(regions, Draws(0, 0, torch.arange(3)), 20)
    assert tokens.numbers.shape == (3, 20)
    assert bool(tokens.present.all())
    alone = drawn_tokens(grid_regions(halved(3)), Draws(0, 1, torch.arange(3)), 20)
    assert not torch.equal(tokens.numbers, alone.numbers)


@pytest.mark.parametrize("most", [7, 32, 63, 64, 1000])
def test_groups_hold_every_region_once(most: int) -> None:
    regions = grid_regions(halved(3), outside=10)
    tokens = shuffled_groups(regions, most, 0)
    found = tokens.numbers[tokens.present]
    assert sorted(found.tolist()) == (regions.areas > 0).nonzero()[:, 0].tolist()
    assert int(tokens.present.sum(1).max()) <= most
    assert all(len(regions.crops[row[here]].unique()) == 1 for row, here in zip(*tokens, strict=True))


def test_the_context_of_a_region_does_not_see_it() -> None:
    network = trained(halved())[0]
    regions = grid_regions(halved(1))
    before = contexts_of(network, regions, SMALL, 0)
    features = regions.features.clone()
    features[5] += 3
    changed = (contexts_of(network, regions._replace(features=features), SMALL, 0) - before).abs().amax(1)
    assert float(changed[5]) < 1e-5
    assert float(changed[torch.arange(64) != 5].max()) > 1e-3


def test_words_are_of_own_features_alone() -> None:
    network, batch = trained(halved(), steps=1)
    assert batch.regions is not None
    features = batch.regions.features.clone()
    features[:, feature_groups(1)["position"].start :] += 5
    assert torch.equal(network.words_of(features), network.words_of(batch.regions.features))
    assert network.centres.shape == (2, dimensions_of(1) + 16)


def test_two_kinds_are_two_clusters() -> None:
    network, batch = trained(halved())
    scores = context.cluster_scores(network, batch, SMALL)
    torch.testing.assert_close(scores.sum(1), torch.ones(16, SIDE, SIDE))
    found = scores.argmax(1).numpy()
    right = (found == halved()).mean()
    assert max(right, 1 - right) > 0.95


def test_the_loss_is_the_cross_entropy_of_hidden_words() -> None:
    """A network that says all words are equally likely loses the logarithm of their number."""
    network, batch = trained(halved(), steps=1)
    torch.nn.init.zeros_(network.exit.weight)
    torch.nn.init.zeros_(network.exit.bias)
    terms = context.loss(network, batch, dataclasses.replace(SMALL, light=0.0))
    assert float(terms["loss"].detach()) == pytest.approx(math.log(4))


# With vectors of a file of features


SIZES = (2, 40)
LAYERS = tuple(map(Layer, SIZES))


def with_vectors(kinds: np.ndarray, bands: int = 1, seed: int = 0) -> Batch:
    """A batch whose stored vectors tell the kinds apart, and whose hand-crafted features do not."""
    regions, chance = grid_regions(np.zeros_like(kinds), seed), np.random.default_rng(seed + 1)
    vectors = chance.normal(0, 0.3, (kinds.size, sum(SIZES))) + kinds.reshape(-1, 1)
    vectors *= np.repeat([1000, 1], SIZES)  # layers differ in their scale
    features = torch.cat([regions.features[:, : FEATURES if bands else 0], torch.from_numpy(vectors).float()], 1)
    return batch_of(regions._replace(features=features))


def trained_on_vectors(kinds: np.ndarray, bands: int = 1, steps: int = 40, **more: float) -> tuple[Network, Batch]:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, **more)
    network, batch = Network(config, bands, LAYERS), with_vectors(kinds, bands)
    context.prepare(network, iter([batch]), config)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for step in range(steps):
        now = dataclasses.replace(batch, step=step, index=batch.index + 100 * step)
        optimizer.zero_grad()
        context.loss(network, now, config)["loss"].backward()
        optimizer.step()
    context.finish(network.eval(), iter([batch]), config)
    return network, batch


@pytest.mark.parametrize("bands", [0, 1])
def test_two_kinds_of_vectors_are_two_clusters(bands: int) -> None:
    network, batch = trained_on_vectors(halved(), bands)
    assert network.weight == 1
    found = context.cluster_scores(network, batch, SMALL).argmax(1).numpy()
    right = (found == halved()).mean()
    assert max(right, 1 - right) > 0.95


def test_vectors_of_which_neighbours_tell_nothing() -> None:
    assert trained_on_vectors(shuffled(), bands=0)[0].weight == 0


def test_words_are_of_vectors_alone_and_layers_count_the_same() -> None:
    network, batch = trained_on_vectors(halved(), steps=1)
    features = context._regions(batch).features
    changed = features.clone()
    changed[:, :FEATURES] += 5
    assert torch.equal(network.words_of(changed), network.words_of(features))
    space = network.in_space(features)
    assert space.shape == (len(features), 2 + 32)
    assert float(space[:, :2].square().sum(1).mean()) == pytest.approx(1, abs=1e-3)
    assert float(space[:, 2:].square().sum(1).mean()) == pytest.approx(1, abs=1e-3)
    inputs = (network.inputs_of(features) - network.input_scale[0]) * network.input_scale[1]
    assert float(inputs[:, network.own :].square().mean()) == pytest.approx(1, abs=1e-3)


def test_each_image_has_its_own_noise_on_vectors() -> None:
    network, batch = trained_on_vectors(halved(400), steps=0)
    inputs = network.inputs_of(context._regions(batch).features).view(400, SIDE * SIDE, -1)[:, :2]
    seen = context._in_other_light(network, inputs, Draws(0, 0, torch.arange(400)), SMALL)
    added = ((seen - inputs) * network.input_scale[1])[..., network.own :]
    torch.testing.assert_close(added[:, 0], added[:, 1], atol=1e-4, rtol=0)
    assert float(added[:, 0].std()) == pytest.approx(0.3, abs=0.01)
    assert float(added[:, 0].std(0).min()) > 0.2, "it differs between images, in every dimension"
    quiet = dataclasses.replace(SMALL, light=0, patch_noise=0)
    still = context._in_other_light(network, inputs, Draws(0, 0, torch.arange(400)), quiet)
    torch.testing.assert_close(still[..., network.own :], inputs[..., network.own :])


def test_hand_crafted_features_stand_beside_by_their_length() -> None:
    network, batch = trained_on_vectors(halved(), steps=1, beside=0.5)
    plain = trained_on_vectors(halved(), steps=1)[0]
    features = context._regions(batch).features
    space = network.in_space(features)
    torch.testing.assert_close(space[:, :34], plain.in_space(features))
    assert float(space[:, 34:].square().sum(1).mean()) == pytest.approx(0.5**2 * 2, rel=1e-3)
    assert network.centres.shape == (2, 34 + dimensions_of(1) + 16)
    assert plain.centres.shape == (2, 34 + 16)
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(
            weight, dict(network.named_parameters())[name], msg="it only counts in the clustering"
        )


def test_few_images_of_vectors(said: pytest.LogCaptureFixture) -> None:
    network = trained_on_vectors(halved(7), steps=1)[0]
    assert network.weight == 0
    assert "The result is that of k-means on stored vectors" in said.text


def test_a_long_vector_is_sampled_less() -> None:
    assert context._sampled(Network(SMALL, 1)) == 60_000
    assert context._sampled(Network(SMALL, 0, (Layer(1000), Layer(1000)))) == 12_000


GOLDEN = [1.42004, 1.41300, 1.41136, 1.40048]  # as the assertion shows them where they differ


def test_losses_with_vectors_are_what_they_were() -> None:
    torch.manual_seed(0)
    network, batch = Network(SMALL, 1, LAYERS), with_vectors(halved())
    context.prepare(network, iter([batch]), SMALL)
    optimizer, losses = torch.optim.SGD(network.parameters(), 3e-3), []
    for step in range(4):
        optimizer.zero_grad()
        now = dataclasses.replace(batch, step=step, index=batch.index + 100 * step)
        lost = context.loss(network, now, SMALL)["loss"]
        lost.backward()
        optimizer.step()
        losses.append(float(lost.detach()))
    assert losses == pytest.approx(GOLDEN, abs=1e-4)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="multiple of 4 x 4 heads"):
        Network(Config(width=50), 1)
    with pytest.raises(ConfigError, match="beside -1"):
        Network(Config(beside=-1), 1)
    with pytest.raises(ConfigError, match="tokens 0"):
        Network(Config(tokens=0), 1)
