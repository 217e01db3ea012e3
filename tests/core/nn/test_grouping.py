"""The first grouping: it groups what can be told apart, in the space of the baseline."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor
from toy import regions_of

from unsegcli.core.nn.grouping import ROWS, FirstGrouping
from unsegcli.core.superpixels.features import feature_groups
from unsegcli.core.superpixels.region_space import fit_space, place_weights

SIDE, CROPS = 8, 4  # of the superpixels; in a batch


def squares(height: int, width: int, side: int = SIDE) -> Tensor:
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return (rows[:, None] * -(-width // side) + columns)[None]


def smooth_noise(bands: int, height: int, width: int) -> Tensor:
    coarse = torch.rand(1, bands, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def features_of(images: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Features (superpixels, features) and areas (superpixels,), as the loop gives them."""
    known = regions_of(images, regions, count)
    return known.features, known.areas


COLOURS = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.9]])


def coloured(seed: int, crops: int = CROPS) -> tuple[Tensor, Tensor, Tensor]:
    """Images (crops, 3, 32, 32) of squares in three colours with noise, their superpixels, and which is which."""
    chance = torch.Generator().manual_seed(seed)
    regions = squares(32, 32) + 16 * torch.arange(crops)[:, None, None]
    kinds = torch.randint(3, (16 * crops,), generator=chance)
    images = COLOURS[kinds[regions]].permute(0, 3, 1, 2)
    return (images + 0.02 * torch.randn(images.shape, generator=chance)).clamp(0, 1), regions, kinds


def remembered(first: FirstGrouping, batches: range) -> FirstGrouping:
    for number in batches:
        images, regions, kinds = coloured(number)
        features = features_of(images, regions, len(kinds))
        first.remember(*features, regions, CROPS * number + torch.arange(CROPS), seed=0)
    return first


def test_three_colours_become_three_groups() -> None:
    first = remembered(FirstGrouping(3, 3, 2, CROPS), range(2))
    images, regions, kinds = coloured(7)
    groups = first.assign(features_of(images, regions, len(kinds))[0])
    pairs = set(zip(kinds.tolist(), groups.tolist(), strict=True))
    assert len(pairs) == len({kind for kind, _ in pairs}) == len({group for _, group in pairs}) == 3


def test_ready_after_so_many_batches() -> None:
    first = FirstGrouping(3, 3, 3, CROPS)
    for number in range(3):
        assert not first.ready
        assert not first.centres.any()
        remembered(first, range(number, number + 1))
    assert first.ready
    assert first.centres.any(1).all()


def test_what_is_remembered_comes_back() -> None:
    """A training that is interrupted before the grouping has the same grouping as one that is not."""
    undisturbed = remembered(FirstGrouping(3, 3, 4, CROPS), range(4))
    before = remembered(FirstGrouping(3, 3, 4, CROPS), range(2))
    after = FirstGrouping(3, 3, 4, CROPS)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    assert not after.ready
    remembered(after, range(2, 4))
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]), name


def test_space_is_that_of_the_baseline() -> None:
    first = remembered(FirstGrouping(3, 3, 4, CROPS), range(4))
    used = first.remembered.flatten(0, 1)[:, -1] > 0
    rows, sources = first.remembered.flatten(0, 1)[used].numpy(), first.sources.flatten()[used].numpy()
    features, areas = rows[:, :-1], rows[:, -1]
    expected = fit_space(features, areas, 3, place_weights(features, areas, 3, sources))(features)
    found = ((torch.from_numpy(features) - first.mean) @ first.projection).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_every_superpixel_that_fits_is_remembered_once() -> None:
    images, regions, kinds = coloured(0)
    features, areas = features_of(images, regions, 80)  # of which 16 are not seen
    first = FirstGrouping(3, 3, 2, CROPS)
    first.remember(features, areas, regions, torch.arange(CROPS), seed=0)
    rows = first.remembered[0]
    rows = rows[rows[:, -1] > 0]
    assert torch.equal(rows, torch.cat([features, areas[:, None]], 1)[: len(kinds)])
    assert not first.remembered[1].any()


def test_a_crop_counts_as_its_area_however_many_superpixels_it_has() -> None:
    """Crop 0 has 4096 superpixels, of which some are taken; crop 1 has one, crop 2 is half void, crop 3 wholly."""
    regions = torch.zeros(4, 64, 64, dtype=torch.int64)
    regions[0] = torch.arange(4096).reshape(64, 64)
    regions[1], regions[2], regions[3] = 4096, 4097, -1
    regions[2, :32] = -1
    features, areas = features_of(torch.rand(4, 3, 64, 64), regions, 4098)
    first = FirstGrouping(3, 3, 2, CROPS)
    first.remember(features, areas, regions, torch.arange(CROPS), seed=0)
    weights = first.remembered[0, :, -1].reshape(4, ROWS)
    assert weights.sum(1).tolist() == pytest.approx([4096, 4096, 2048, 0])
    assert (weights > 0).sum(1).tolist() == [ROWS, 1, 1, 0]


def test_crops_are_remembered_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with two crops each take what one with four takes, in the same order."""
    images, regions, _ = coloured(0)
    features, areas = features_of(images, regions, 64)
    whole = FirstGrouping(3, 3, 1, CROPS)
    whole.remember(features, areas, regions, torch.arange(CROPS), seed=0)

    parts: list[Tensor] = []
    halves = []
    for part in (slice(2), slice(2, 4)):
        numbers = regions[part] - regions[part].min()
        halves.append((*features_of(images[part], numbers, 32), numbers, torch.arange(CROPS)[part]))
        monkeypatch.setattr(
            "unsegcli.core.nn.grouping.gathered", lambda rows: parts.append(rows) or torch.cat([rows] * 2)
        )
        FirstGrouping(3, 3, 2, CROPS).remember(*halves[-1], seed=0)
    together, sources = torch.cat(parts[::2]), torch.cat(parts[1::2])
    torch.testing.assert_close(together, whole.remembered[0])
    assert torch.equal(sources, whole.sources[0])

    monkeypatch.setattr("unsegcli.core.nn.grouping.gathered", lambda rows: together if rows.ndim > 1 else sources)
    for half in halves:  # whichever process it is, the centres are the same
        one = FirstGrouping(3, 3, 1, CROPS)
        one.remember(*half, seed=0)
        torch.testing.assert_close(one.centres, whole.centres)


def gradients(crops: int) -> tuple[Tensor, Tensor]:
    """Crops that become brighter from top to bottom, and their superpixels."""
    bright = torch.linspace(0, 1, 32)[:, None].expand(crops, 3, 32, 32)
    noise = 0.05 * torch.randn(bright.shape, generator=torch.Generator().manual_seed(0))
    return (bright + noise).clamp(0, 1), squares(32, 32) + 16 * torch.arange(crops)[:, None, None]


def test_crops_of_one_image_do_not_show_that_place_counts() -> None:
    images, regions = gradients(CROPS)
    features = features_of(images, regions, 16 * CROPS)
    scales = []
    for sources in (torch.zeros(CROPS, dtype=torch.int64), torch.arange(CROPS)):
        first = FirstGrouping(3, 3, 1, CROPS)
        first.remember(*features, regions, sources, seed=0)
        scales.append(first.projection[feature_groups(3)["position"]].abs().amax(1))
    assert not scales[0].any()
    assert float(scales[1][0]) > 1
