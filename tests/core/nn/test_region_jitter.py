"""Changes of light of region features: as if the pixels had been changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unsegcli.core.draws import Draws
from unsegcli.core.nn import region_jitter
from unsegcli.core.nn.region_jitter import jittered
from unsegcli.core.superpixels.features import OWN, feature_groups, region_features


def described(pixels: np.ndarray) -> Tensor:
    regions = (np.arange(32) // 8)[:, None] * 4 + np.arange(32) // 8
    features = region_features(pixels, regions.astype(np.int32))
    return torch.from_numpy(features[None, :, : feature_groups(pixels.shape[2])[OWN[-1]].stop])


def image(bands: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 0.6, (32, 32, bands))


def draws(count: int = 1, seed: int = 0) -> Draws:
    return Draws(seed, 0, torch.arange(count))


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_nothing_changes_at_strength_0(bands: int) -> None:
    features = described(image(bands))
    torch.testing.assert_close(jittered(features, bands, draws(), 0.0, 0.0), features, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_each_image_changes_in_its_own_way_and_all_its_regions_alike(bands: int) -> None:
    features = described(image(bands)).expand(3, -1, -1)
    same = features.clone()
    same[:] = same[:1, :1]  # all regions alike
    found = jittered(same, bands, draws(3), 2.0, 0.3)
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
    assert float((found[0] - found[1]).abs().max()) > 0.05
    again = jittered(same[1:2], bands, Draws(0, 0, torch.tensor([1])), 2.0, 0.3)
    torch.testing.assert_close(again[0], found[1])  # whatever else is in the batch


def test_a_gain_of_light_is_that_of_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """One band, a gain alone: the features are those of the image with as much contrast around its middle."""
    for name in ("OFFSET", "BAND_GAIN", "BAND_OFFSET"):
        monkeypatch.setattr(region_jitter, name, 0.0)
    monkeypatch.setattr(Draws, "uniform", lambda self, purpose, *shape, **more: torch.ones(1, *shape))
    pixels = image(1)
    gain = float(np.exp(region_jitter.GAIN))
    expected, found = described((pixels - 0.5) * gain + 0.5), jittered(described(pixels), 1, draws(), 1.0, 0.0)
    groups = feature_groups(1)
    for name in ("colour", "texture"):
        # The mean of a logarithm is not the logarithm of the mean: gradients agree roughly.
        torch.testing.assert_close(found[..., groups[name]], expected[..., groups[name]], rtol=0.03, atol=1e-3)


def test_noise_is_for_patches_alone() -> None:
    features = described(image(3))
    changed = (jittered(features, 3, draws(), 0.0, 1.0) - features).abs().amax((0, 1))
    patches = feature_groups(3)["patches"]
    assert float(changed[patches].min()) > 1e-3
    assert float(changed[: patches.start].max()) < 1e-4
