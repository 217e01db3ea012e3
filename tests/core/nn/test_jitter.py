"""Changes of colour: none at zero strength, each sample by itself, any number of bands."""

from __future__ import annotations

import colorsys
import dataclasses

import pytest
import torch
from torch import Tensor

from unsegcli.core.draws import Draws
from unsegcli.core.nn.jitter import Strengths, jitter, lightness

ZERO = Strengths(0, 0, 0, 0, 0)


def some_images(count: int, bands: int) -> Tensor:
    return torch.rand(count, bands, 6, 5, generator=torch.Generator().manual_seed(bands))


def draws(count: int) -> Draws:
    return Draws(1, 2, torch.arange(count) + 40)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_no_strength_is_no_change(bands: int) -> None:
    images = some_images(3, bands)
    torch.testing.assert_close(jitter(images, draws(3), "test", ZERO), images)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_each_sample_is_changed_by_itself(bands: int) -> None:
    images = some_images(4, bands)
    together = jitter(images, draws(4), "test", Strengths(bands=0.2))
    alone = jitter(images[2:3], dataclasses.replace(draws(4), index=draws(4).index[2:3]), "test", Strengths(bands=0.2))
    torch.testing.assert_close(together[2:3], alone)
    assert together.shape == images.shape
    assert float(together.min()) >= 0
    assert float(together.max()) <= 1
    assert all(not torch.allclose(one, other) for one, other in zip(together, images, strict=True))


def test_purposes_differ() -> None:
    images = some_images(2, 3)
    assert not torch.equal(jitter(images, draws(2), "first"), jitter(images, draws(2), "second"))


def test_brightness_is_one_factor_for_all_bands() -> None:
    images = 0.2 + 0.3 * some_images(5, 4)  # nothing reaches 1
    factors = (jitter(images, draws(5), "test", dataclasses.replace(ZERO, brightness=0.5)) / images).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert float(factors[:, 0].min()) >= 0.5
    assert float(factors[:, 0].max()) <= 1.5
    assert float(factors[:, 0].std()) > 0.05


def test_contrast_keeps_the_mean_lightness_and_saturation_each_lightness() -> None:
    images = 0.4 + 0.2 * some_images(5, 3)
    changed = jitter(images, draws(5), "test", dataclasses.replace(ZERO, contrast=0.5))
    torch.testing.assert_close(lightness(changed).mean((2, 3)), lightness(images).mean((2, 3)))
    changed = jitter(images, draws(5), "test", dataclasses.replace(ZERO, saturation=0.5))
    torch.testing.assert_close(lightness(changed), lightness(images))
    assert not torch.allclose(changed, images)


def test_hue_keeps_lightness_and_turns_the_circle() -> None:
    images = 0.45 + 0.1 * some_images(5, 3)
    changed = jitter(images, draws(5), "test", dataclasses.replace(ZERO, hue=0.2))
    torch.testing.assert_close(lightness(changed), lightness(images), atol=1e-3, rtol=0)
    before = colorsys.rgb_to_hsv(*images[0, :, 0, 0].tolist())[0]
    after = colorsys.rgb_to_hsv(*changed[0, :, 0, 0].tolist())[0]
    assert 0.001 < abs((after - before + 0.5) % 1 - 0.5) < 0.3


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
def test_void_is_black_and_does_not_count(bands: int) -> None:
    """Valid pixels are as if the void ones were not there, here the two lower rows."""
    images = 0.4 + 0.2 * some_images(3, bands)
    valid = torch.ones(3, 6, 5, dtype=torch.bool)
    valid[:, 4:] = False
    found = jitter(images * valid[:, None], draws(3), "test", Strengths(contrast=0.6, bands=0.1), valid=valid)
    alone = jitter(images[:, :, :4], draws(3), "test", Strengths(contrast=0.6, bands=0.1))
    torch.testing.assert_close(found[:, :, :4], alone)
    assert not bool(found[:, :, 4:].any())
    nothing = jitter(images, draws(3), "test", valid=torch.zeros_like(valid))
    assert not bool(nothing.any())


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_hue_and_saturation_need_colours(bands: int) -> None:
    images = some_images(2, bands)
    strong = dataclasses.replace(ZERO, hue=0.5, saturation=1.0)
    torch.testing.assert_close(jitter(images, draws(2), "test", strong), images)


def test_a_fourth_band_has_no_hue() -> None:
    images = some_images(2, 4)
    changed = jitter(images, draws(2), "test", dataclasses.replace(ZERO, hue=0.5, saturation=1.0))
    torch.testing.assert_close(changed[:, 3], images[:, 3])
    assert not torch.allclose(changed[:, :3], images[:, :3])
