"""Features of regions and blurred pixels: by hand, and what must not influence them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unsegcli.core.superpixels.features import GROUPS, TRUNCATE, blurred_pixels, feature_groups, region_features
from unsegcli.errors import DataError


def halves(height: int = 20, width: int = 30) -> np.ndarray:
    """Region 0 on the left, region 1 on the right."""
    regions = np.zeros((height, width), np.int32)
    regions[:, width // 2 :] = 1
    return regions


def group(features: np.ndarray, bands: int, name: str) -> np.ndarray:
    return features[:, feature_groups(bands)[name]]


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_groups_cover_all_dimensions_once(bands: int) -> None:
    features = region_features(np.zeros((20, 30, bands), np.uint8), halves())
    assert features.dtype == np.float32
    groups = feature_groups(bands)
    assert set(groups) == set(GROUPS)
    covered = [dimension for part in groups.values() for dimension in range(part.start, part.stop)]
    assert covered == list(range(features.shape[1]))


def test_colour_of_bands_by_hand() -> None:
    pixels = np.zeros((20, 30, 2), np.uint8)
    pixels[:, 15:, 0] = 255
    pixels[::2, :, 1] = 51  # half of the rows at 0.2: mean 0.1, deviation 0.1
    colour = group(region_features(pixels, halves()), 2, "colour")
    np.testing.assert_allclose(colour[:, [0, 1, 4, 5]], [[0, 0.1, 0, 0.1], [1, 0.1, 0, 0.1]], atol=1e-6)
    left, right = colour[:, 2]
    assert 0.1 < left < 0.4, "the blurred image sees the other half"
    assert left + right == pytest.approx(1, abs=1e-5), "the image is symmetric"
    np.testing.assert_allclose(colour[:, 3], 0.1, atol=0.002)


def test_colour_of_three_bands_is_lab() -> None:
    pixels = np.full((20, 200, 3), 255, np.uint8)
    pixels[:, :100] = (255, 0, 0)
    colour = group(region_features(pixels, halves(20, 200)), 3, "colour")
    np.testing.assert_allclose(colour[0, :3], [53.24, 80.09, 67.20], atol=0.02)  # red in Lab under D65
    np.testing.assert_allclose(colour[0, 3:6], [53.24, 80.09, 67.20], rtol=0.05)
    np.testing.assert_allclose(colour[1, :3], [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(colour[:, 6:], 0, atol=0.02)


@pytest.mark.parametrize("shape", [(40, 60), (41, 61), (64, 37)])
def test_far_blur_is_close_to_the_exact_one(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (*shape, 1)).astype(np.uint8)
    regions = (np.add.outer(np.arange(shape[0]) // 10 * 9, np.arange(shape[1]) // 10)).astype(np.int32)
    regions[:7, 5:20] = -1
    inside = regions >= 0
    numbers = np.unique(regions[inside])
    exact = blurred_pixels(pixels, 8.0, inside)[:, :, 0]
    means = [exact[regions == number].mean() for number in numbers]
    found = group(region_features(pixels, regions), 1, "colour")[numbers, 1]
    np.testing.assert_allclose(found, means, atol=0.01)


def test_position_by_hand() -> None:
    position = group(region_features(np.zeros((20, 30, 1), np.uint8), halves()), 1, "position")
    np.testing.assert_allclose(position, [[0.5, 0.25], [0.5, 0.75]])


def test_texture_tells_flat_from_fine_from_coarse() -> None:
    regions = np.repeat(np.arange(3, dtype=np.int32), 40)[None].repeat(40, axis=0)
    rows = np.arange(40)[:, None, None]
    pixels = np.full((40, 120, 1), 128, np.uint8)
    pixels[:, 40:80] = np.where(rows % 4 < 2, 90, 160)
    pixels[:, 80:] = np.where(rows % 16 < 8, 90, 160)
    near, _, far, fine, coarse = group(region_features(pixels, regions), 1, "texture").T
    assert near[0] < 0.2 * near[1:].min()
    assert far[2] > 3 * far[1], "fine stripes are gone after a wide blur"
    assert fine[1] > 1.5 * fine[2] > 0
    assert coarse[2] > coarse[0]


def test_the_gradient_of_a_ramp_by_hand() -> None:
    # 2 levels of 255 for each row, 200 / 255 of lightness, and none along it; the border of the image is left out.
    pixels = np.repeat(2 * np.arange(100, dtype=np.uint8)[:, None, None], 20, axis=1)
    whole = np.zeros((100, 20), np.int32)
    whole[40:60] = 1
    expected = np.log1p(200 / 255)
    np.testing.assert_allclose(group(region_features(pixels, whole), 1, "texture")[1, :3], expected, rtol=1e-4)
    turned = region_features(pixels.swapaxes(0, 1), whole.T)
    np.testing.assert_allclose(group(turned, 1, "texture")[1, :3], expected, rtol=1e-4)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_constant_regions_have_neither_deviation_nor_texture(bands: int) -> None:
    features = region_features(np.full((20, 30, bands), 77, np.uint8), halves())
    np.testing.assert_allclose(group(features, bands, "colour")[:, 2 * bands :], 0, atol=1e-5)
    np.testing.assert_allclose(group(features, bands, "texture"), 0, atol=1e-4)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pixels_without_a_region_have_no_influence(bands: int) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (20, 30, bands)).astype(np.uint8)
    regions = halves()
    regions[5:12, 8:25] = -1
    other = np.where(regions[:, :, None] < 0, 255, pixels).astype(np.uint8)
    np.testing.assert_array_equal(region_features(other, regions), region_features(pixels, regions))
    constant = np.where(regions[:, :, None] < 0, pixels, 40).astype(np.uint8)
    np.testing.assert_allclose(group(region_features(constant, regions), bands, "texture"), 0, atol=1e-4)


def test_bytes_and_floats_give_the_same_features() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(region_features(pixels / 255, halves()), region_features(pixels, halves()))


@pytest.mark.parametrize("bands", [1, 4, 7])
def test_renumbering_the_regions_reorders_the_features(bands: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, bands)).astype(np.uint8)
    expected = region_features(pixels, halves())[::-1]
    np.testing.assert_allclose(region_features(pixels, 1 - halves()), expected, rtol=1e-5, atol=1e-5)


def test_tiny_images_and_no_region() -> None:
    for shape in ((1, 1), (1, 5), (5, 1)):
        features = region_features(np.full((*shape, 3), 9, np.uint8), np.zeros(shape, np.int32))
        assert np.isfinite(features).all()
    assert region_features(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), -1, np.int32)).shape == (0, 152)
    with pytest.raises(DataError, match="differ in shape"):
        region_features(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4), np.int32))


def test_blur_of_a_point_by_hand() -> None:
    pixels = np.zeros((21, 21, 1), np.uint8)
    pixels[10, 10] = 255
    blurred = blurred_pixels(pixels, 2.0)[:, :, 0]
    kernel = np.exp(-(np.arange(-6, 7) ** 2) / 8)  # cut at three standard deviations
    kernel /= kernel.sum()
    np.testing.assert_allclose(blurred[4:17, 4:17], np.outer(kernel, kernel), rtol=1e-4)
    assert blurred[:4].max() == 0


def test_no_blur_is_the_image_over_255() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 4)).astype(np.uint8)
    np.testing.assert_allclose(blurred_pixels(pixels, 0.0), pixels / 255, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
def test_blur_keeps_constants_up_to_a_ragged_mask_and_ignores_the_rest(sigma: float) -> None:
    generator = np.random.default_rng(0)
    valid = generator.random((25, 30)) < 0.3
    pixels = np.where(valid[:, :, None], 102, generator.integers(0, 256, (25, 30, 2))).astype(np.uint8)
    blurred = blurred_pixels(pixels, sigma, valid)
    np.testing.assert_allclose(blurred[valid], 0.4, rtol=1e-5)
    assert (blurred[~valid] == 0).all()


@pytest.mark.parametrize("sigma", [0.7, 1.0, 4.0, 8.0])
@pytest.mark.parametrize("shape", [(32, 41), (5, 1), (1, 1)])
def test_blur_is_that_of_scipy_to_the_bit(shape: tuple[int, int], sigma: float) -> None:
    plane = np.random.default_rng(3).random(shape, dtype=np.float32)
    expected = gaussian_filter(plane, sigma, mode="reflect", truncate=TRUNCATE, output=np.float32)
    np.testing.assert_array_equal(blurred_pixels(plane[:, :, None], sigma)[:, :, 0], expected)


def test_blur_with_everything_valid_is_the_plain_blur() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (25, 30, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        blurred_pixels(pixels, 2.0, np.ones((25, 30), bool)), blurred_pixels(pixels, 2.0), rtol=1e-5
    )
    with pytest.raises(DataError, match="differ"):
        blurred_pixels(pixels, 2.0, np.ones((30, 25), bool))
