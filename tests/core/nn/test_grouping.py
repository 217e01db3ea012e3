"""The first grouping: its features are those of the baseline, and it groups what can be told apart."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from unsegcli.core.nn.grouping import ROWS, FirstGrouping, dimensions_of, superpixel_features
from unsegcli.core.superpixels.features import feature_groups, feature_weights, region_features

SIDE, CROPS = 8, 4  # of the superpixels; in a batch


def squares(height: int, width: int, side: int = SIDE) -> Tensor:
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return (rows[:, None] * -(-width // side) + columns)[None]


def smooth_noise(bands: int, height: int, width: int) -> Tensor:
    coarse = torch.rand(1, bands, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_features_are_those_of_the_baseline(bands: int) -> None:
    """Colour (Lab over 100 here) and position everywhere, texture away from the border.

    Within the reach of the widest filter (12 pixels, and one for the slope) the border is mirrored otherwise: torch
    leaves out the last row, scipy repeats it.
    """
    height, width = 64, 80
    image, regions = smooth_noise(bands, height, width), squares(height, width)
    found, areas = superpixel_features(image, regions, int(regions.max()) + 1, None)
    expected = region_features(image[0].permute(1, 2, 0).numpy(), regions[0].numpy().astype(np.int32))
    assert found.shape == expected.shape == (80, dimensions_of(bands))
    assert areas.tolist() == [SIDE**2] * 80
    if bands == 3:
        expected[:, :6] /= 100
    inner = np.zeros((height // SIDE, width // SIDE), np.bool_)
    inner[2:-2, 2:-2] = True
    for name, part in feature_groups(bands):
        rows = inner.ravel() if name == "texture" else np.ones(80, np.bool_)
        np.testing.assert_allclose(found[:, part].numpy()[rows], expected[rows, part], atol=2e-5, err_msg=name)


def test_one_colour_has_no_deviation_and_no_texture() -> None:
    image = torch.tensor([0.3, 0.8, 0.1])[None, :, None, None].expand(1, 3, 32, 32)
    found, _ = superpixel_features(image, squares(32, 32), 16, None)
    assert float(found[:, 3:9].abs().max()) < 1e-5


def test_void_has_no_part() -> None:
    image, regions = smooth_noise(3, 32, 32), squares(32, 32)
    regions[0, :4] = -1
    found, areas = superpixel_features(image, regions, 17, None)
    assert areas.tolist() == [SIDE**2 / 2] * 4 + [SIDE**2] * 12 + [0]
    torch.testing.assert_close(found[:4, -2], torch.full((4,), 6 / 32))  # rows 4 to 7 alone
    assert bool(found.isfinite().all())


def test_a_crop_has_its_place_in_the_image() -> None:
    """The same superpixels have the same positions, whether they are seen in the whole or in a crop."""
    image, regions = smooth_noise(3, 64, 80), squares(64, 80)
    whole, _ = superpixel_features(image, regions, 80, None)
    box = (slice(None), slice(16, 48), slice(24, 72))
    place = torch.tensor([[16 / 64, 24 / 80, 32 / 64, 48 / 80]])
    part, areas = superpixel_features(image[:, :, *box[1:]], regions[box], 80, place)
    seen = areas > 0
    assert int(seen.sum()) == 24
    torch.testing.assert_close(part[seen, -2:], whole[seen, -2:])
    torch.testing.assert_close(part[seen, :6], whole[seen, :6])


@pytest.mark.parametrize("side", [1, 2, 5])
def test_images_smaller_than_the_filters(side: int) -> None:
    found, _ = superpixel_features(smooth_noise(3, 4 * side, 4)[:, :, :side], squares(side, 4), 1, None)
    assert bool(found.isfinite().all())


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
        features = superpixel_features(images, regions, len(kinds), None)
        first.remember(*features, regions, CROPS * number + torch.arange(CROPS), seed=0)
    return first


def test_three_colours_become_three_groups() -> None:
    first = remembered(FirstGrouping(3, 3, 2, CROPS), range(2))
    images, regions, kinds = coloured(7)
    groups = first.assign(superpixel_features(images, regions, len(kinds), None)[0])
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


def test_scale_is_that_of_the_baseline() -> None:
    """Mean 0 and, weighted, deviation 1 times the weight of each dimension's group."""
    first = remembered(FirstGrouping(3, 3, 4, CROPS), range(4))
    used = first.remembered.flatten(0, 1)[:, -1] > 0
    rows, sources = first.remembered.flatten(0, 1)[used], first.sources.flatten()[used]
    scaled = ((rows[:, :-1] - first.scale[0]) * first.scale[1]).numpy()
    share = (rows[:, -1] / rows[:, -1].sum()).numpy()
    expected = feature_weights(rows[:, :-1].numpy(), rows[:, -1].numpy(), 3, sources.numpy())
    np.testing.assert_allclose(share @ scaled, 0, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(share @ scaled**2), expected, rtol=1e-3, atol=1e-4)


def test_every_superpixel_that_fits_is_remembered_once() -> None:
    images, regions, kinds = coloured(0)
    features, areas = superpixel_features(images, regions, 80, None)  # of which 16 are not seen
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
    features, areas = superpixel_features(torch.rand(4, 3, 64, 64), regions, 4098, None)
    first = FirstGrouping(3, 3, 2, CROPS)
    first.remember(features, areas, regions, torch.arange(CROPS), seed=0)
    weights = first.remembered[0, :, -1].reshape(4, ROWS)
    assert weights.sum(1).tolist() == pytest.approx([4096, 4096, 2048, 0])
    assert (weights > 0).sum(1).tolist() == [ROWS, 1, 1, 0]


def test_crops_are_remembered_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes with two crops each take what one with four takes, in the same order."""
    images, regions, _ = coloured(0)
    features, areas = superpixel_features(images, regions, 64, None)
    whole = FirstGrouping(3, 3, 1, CROPS)
    whole.remember(features, areas, regions, torch.arange(CROPS), seed=0)

    parts: list[Tensor] = []
    halves = []
    for part in (slice(2), slice(2, 4)):
        numbers = regions[part] - regions[part].min()
        halves.append((*superpixel_features(images[part], numbers, 32, None), numbers, torch.arange(CROPS)[part]))
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
    features = superpixel_features(images, regions, 16 * CROPS, None)
    scales = []
    for sources in (torch.zeros(CROPS, dtype=torch.int64), torch.arange(CROPS)):
        first = FirstGrouping(3, 3, 1, CROPS)
        first.remember(*features, regions, sources, seed=0)
        scales.append(first.scale[1, -2:])
    assert not scales[0].any()
    assert float(scales[1][0]) > 1
