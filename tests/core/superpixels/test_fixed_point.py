"""Pixels as integers: CIELAB beside scikit-image's, and one result for all types."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from unsegcli.core.superpixels.fixed_point import RANGE, STEPS, fixed_point
from unsegcli.errors import DataError


def all_levels(bands: int, seed: int = 0) -> np.ndarray:
    """An image with every value of a byte in every band."""
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(256) for _ in range(bands)], axis=1).reshape(16, 16, bands).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_three_bands_become_cielab(seed: int) -> None:
    image = all_levels(3, seed)
    difference = fixed_point(image, None) / STEPS - np.moveaxis(rgb2lab(image), 2, 0)
    assert np.abs(difference).max() < 0.02  # where one level of a byte is about 0.3


def test_extreme_colours_fit() -> None:
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255]), np.uint8).reshape(3, 1, 8).transpose(1, 2, 0)
    expected = np.moveaxis(rgb2lab(corners), 2, 0)
    assert np.abs(fixed_point(corners, None) / STEPS - expected).max() < 0.02


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_other_bands_are_stretched_together(bands: int) -> None:
    image = (all_levels(bands) // 2 + 10).astype(np.uint8)
    expected = RANGE * (np.moveaxis(image, 2, 0) - 10.0) / 127
    np.testing.assert_allclose(fixed_point(image, None) / STEPS, expected, atol=0.75 / STEPS)  # rounded twice


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("low", [0, 100])
def test_all_types_give_the_same_integers(bands: int, low: int) -> None:
    image = np.maximum(all_levels(bands), low).astype(np.uint8)
    expected = fixed_point(image, None)
    for other in (image.astype(np.uint16) * 257, image / 255, (image / 255).astype(np.float32)):
        np.testing.assert_array_equal(fixed_point(other, None), expected)


@pytest.mark.parametrize("bands", [1, 3])
def test_the_range_is_that_of_the_valid_pixels(bands: int) -> None:
    image = all_levels(bands)
    valid = (image > 50).all(axis=2) & (image < 200).all(axis=2)
    clean = np.where(valid[:, :, None], image, 60).astype(np.uint8)
    np.testing.assert_array_equal(fixed_point(image, valid)[:, valid], fixed_point(clean, valid)[:, valid])


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_is_zero(value: int) -> None:
    for bands in (1, 3):
        assert not fixed_point(np.full((2, 3, bands), value, np.uint8), None).any()


def test_types_and_values_that_are_refused() -> None:
    with pytest.raises(DataError, match="int32"):
        fixed_point(np.zeros((2, 2, 3), np.int32), None)
    with pytest.raises(DataError, match="finite"):
        fixed_point(np.full((2, 2, 1), np.inf), None)
