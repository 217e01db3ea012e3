"""Features of regions and blurred pixels: by hand, and what must not influence them."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.superpixels.features import (
    GROUP_WEIGHTS,
    LARGEST_PLACE_WEIGHT,
    PLACE_WEIGHT,
    STRIPS,
    blurred_pixels,
    explained_by_place,
    feature_groups,
    feature_weights,
    region_features,
    standardise,
)
from unsegcli.errors import DataError


def halves(height: int = 20, width: int = 30) -> np.ndarray:
    """Region 0 on the left, region 1 on the right."""
    regions = np.zeros((height, width), np.int32)
    regions[:, width // 2 :] = 1
    return regions


def group(features: np.ndarray, bands: int, name: str) -> np.ndarray:
    return features[:, dict(feature_groups(bands))[name]]


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_groups_cover_all_dimensions_once(bands: int) -> None:
    features = region_features(np.zeros((20, 30, bands), np.uint8), halves())
    assert features.dtype == np.float32
    names, parts = zip(*feature_groups(bands), strict=True)
    assert names == ("colour", "texture", "position")
    assert [dimension for part in parts for dimension in range(part.start, part.stop)] == list(range(features.shape[1]))


def scattered(bands: int, images: int = 40, each: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that have nothing to do with the place, areas, and numbers of images."""
    count, chance = images * each, np.random.default_rng(0)
    features = chance.normal(size=(count, 2 * bands + 5))
    features[:, -2:] = chance.uniform(size=(count, 2))
    return features, chance.uniform(1, 2, count), np.repeat(np.arange(images), each)


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_each_group_weighs_what_it_should_whatever_its_length(bands: int) -> None:
    features, areas, images = scattered(bands)
    weights = feature_weights(features, areas, bands, images)
    for name, part in feature_groups(bands):
        if name != "position":
            assert (weights[part] ** 2).sum() == pytest.approx(GROUP_WEIGHTS[name] ** 2)


def test_place_counts_by_what_it_explains() -> None:
    features, areas, images = scattered(3)
    assert feature_weights(features, areas, 3, images)[-2:].max() < 0.1
    features[:, :9] += 0.6 * np.floor(STRIPS * features[:, -2:-1])  # by strip from top to bottom
    down, across = feature_weights(features, areas, 3, images)[-2:]
    assert down == pytest.approx(LARGEST_PLACE_WEIGHT)
    assert across < 0.1


def test_place_counts_as_it_is_told_to() -> None:
    features, areas, images = scattered(3)
    np.testing.assert_allclose(feature_weights(features, areas, 3, images, 0.3)[-2:], 0.3)
    np.testing.assert_array_equal(feature_weights(features, areas, 3, images, 0.0)[-2:], 0)


def test_what_place_explains_by_hand() -> None:
    """Two strips of equal area with means 0 and 2, and variance 1 within each: half of the variance of 2.

    All images are alike, so that each is predicted by the others as well as by itself.
    """
    seen = np.tile([-1.0, 1.0], 5000)[:, None]
    where = np.repeat([0.1, 0.9], 5000)
    images = np.arange(10_000) // 2 % 5
    seen[5000:] += 2
    assert explained_by_place(seen, where, np.ones(10_000), images) == pytest.approx(0.5)
    weighted = np.where(where < 0.5, 3.0, 1.0)  # means 0 and 2 in shares of 3/4 and 1/4: variance 3/4 between, 1 within
    assert explained_by_place(seen, where, weighted, images) == pytest.approx(0.75 / 1.75)
    weights = feature_weights(np.concatenate([seen] * 9 + [where[:, None]] * 2, axis=1), weighted, 3, images)
    assert weights[-1] == pytest.approx(min(LARGEST_PLACE_WEIGHT, PLACE_WEIGHT * (3 / 7) ** 0.5), rel=1e-3)


def test_images_predict_each_other_by_hand() -> None:
    """Three images of a top and a bottom half: (1, -1) twice and (0, 0), with a variance of 2/3.

    The first two are predicted as 1/2 and -1/2: the squared error falls from 1 to 1/4. The third is predicted as 1 and
    -1: it rises from 0 to 1. So the mean falls by 1/6, a quarter of the variance.
    """
    seen = np.array([1.0, -1, 1, -1, 0, 0])[:, None]
    where, images = np.array([0.2, 0.8] * 3), np.repeat(np.arange(3), 2)
    assert explained_by_place(seen, where, np.ones(6), images) == pytest.approx(0.25)
    opposed = np.array([1.0, -1, -1, 1, 0, 0])[:, None]
    assert explained_by_place(opposed, where, np.ones(6), images) == 0


def test_one_image_shows_nothing_about_place() -> None:
    """Whatever one image looks like, or two; regions without an area do not make another image."""
    chance = np.random.default_rng(1)
    where = np.tile(np.linspace(0.01, 0.99, 200), 3)
    seen = where[:, None] + chance.normal(0, 0.1, (600, 9))
    images = np.repeat(np.arange(3), 200)
    assert explained_by_place(seen, where, np.ones(600), images) > 0.5
    for few in (1, 2):
        assert explained_by_place(seen, where, np.ones(600), images % few) == 0
        assert explained_by_place(seen, where, (images < few).astype(float), images) == 0


def test_resemblance_within_images_is_not_place() -> None:
    """Every image is brighter on one side of its own: in each, place explains much, and over all nothing."""
    chance = np.random.default_rng(1)
    where, images = chance.uniform(size=2000), np.repeat(np.arange(20), 100)
    seen = (where * chance.choice([-3, 3], 20)[images])[:, None] + chance.normal(size=(2000, 9))
    assert explained_by_place(seen, where, np.ones(2000), images) < 0.02


def test_chance_explains_nothing() -> None:
    """A few regions in as many strips would explain much by chance alone; that is taken off."""
    chance, images = np.random.default_rng(1), np.arange(30) % 3
    found = [
        explained_by_place(chance.normal(size=(30, 9)), chance.uniform(size=30), chance.uniform(1, 2, 30), images)
        for _ in range(50)
    ]
    assert np.mean(found) < 0.01
    assert explained_by_place(np.ones((30, 9)), chance.uniform(size=30), np.ones(30), images) == 0
    apart = np.repeat(np.arange(3), 10)  # each image has strips of its own: the others cannot predict them
    assert explained_by_place(chance.normal(size=(30, 9)), (apart + 0.5) / STRIPS, np.ones(30), apart) == 0


def test_colour_of_bands_by_hand() -> None:
    pixels = np.zeros((20, 30, 2), np.uint8)
    pixels[:, 15:, 0] = 255
    pixels[::2, :, 1] = 51  # half of the rows at 0.2: mean 0.1, deviation 0.1
    colour = group(region_features(pixels, halves()), 2, "colour")
    np.testing.assert_allclose(colour, [[0, 0.1, 0, 0.1], [1, 0.1, 0, 0.1]], atol=1e-6)


def test_colour_of_three_bands_is_lab() -> None:
    pixels = np.full((20, 30, 3), 255, np.uint8)
    pixels[:, :15] = (255, 0, 0)
    colour = group(region_features(pixels, halves()), 3, "colour")
    np.testing.assert_allclose(colour[0], [53.24, 80.09, 67.20, 0, 0, 0], atol=0.02)  # red in Lab under D65
    np.testing.assert_allclose(colour[1], [100, 0, 0, 0, 0, 0], atol=0.02)


def test_position_by_hand() -> None:
    position = group(region_features(np.zeros((20, 30, 1), np.uint8), halves()), 1, "position")
    np.testing.assert_allclose(position, [[0.5, 0.25], [0.5, 0.75]])


def test_texture_tells_flat_from_fine_from_coarse() -> None:
    regions = np.repeat(np.arange(3, dtype=np.int32), 40)[None].repeat(40, axis=0)
    rows = np.arange(40)[:, None, None]
    pixels = np.full((40, 120, 1), 128, np.uint8)
    pixels[:, 40:80] = np.where(rows % 4 < 2, 90, 160)
    pixels[:, 80:] = np.where(rows % 16 < 8, 90, 160)
    gradient, fine, coarse = group(region_features(pixels, regions), 1, "texture").T
    assert gradient[0] < 0.2 * gradient[1:].min()
    assert fine[1] > 1.5 * fine[2] > 0
    assert coarse[2] > 1.5 * coarse[1]


def test_the_gradient_of_a_ramp_by_hand() -> None:
    # 2 levels of 255 for each row and none along it; the border of the image is left out.
    pixels = np.repeat(2 * np.arange(60, dtype=np.uint8)[:, None, None], 20, axis=1)
    regions = np.full((60, 20), -1, np.int32)
    regions[20:40] = 0
    whole = np.zeros((60, 20), np.int32)
    whole[20:40] = 1
    assert group(region_features(pixels, whole), 1, "texture")[1, 0] == pytest.approx(2 / 255, rel=1e-4)
    turned = region_features(pixels.swapaxes(0, 1), whole.T)
    assert group(turned, 1, "texture")[1, 0] == pytest.approx(2 / 255, rel=1e-4)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_constant_regions_have_neither_deviation_nor_texture(bands: int) -> None:
    features = region_features(np.full((20, 30, bands), 77, np.uint8), halves())
    np.testing.assert_allclose(group(features, bands, "colour")[:, bands:], 0, atol=1e-5)
    np.testing.assert_allclose(group(features, bands, "texture"), 0, atol=1e-6)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pixels_without_a_region_have_no_influence(bands: int) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (20, 30, bands)).astype(np.uint8)
    regions = halves()
    regions[5:12, 8:25] = -1
    other = np.where(regions[:, :, None] < 0, 255, pixels).astype(np.uint8)
    np.testing.assert_array_equal(region_features(other, regions), region_features(pixels, regions))
    constant = np.where(regions[:, :, None] < 0, pixels, 40).astype(np.uint8)
    np.testing.assert_allclose(group(region_features(constant, regions), bands, "texture"), 0, atol=1e-6)


def test_bytes_and_floats_give_the_same_features() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(region_features(pixels / 255, halves()), region_features(pixels, halves()))


def test_renumbering_the_regions_reorders_the_features() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 4)).astype(np.uint8)
    np.testing.assert_array_equal(region_features(pixels, 1 - halves()), region_features(pixels, halves())[::-1])


def test_tiny_images_and_no_region() -> None:
    for shape in ((1, 1), (1, 5), (5, 1)):
        features = region_features(np.full((*shape, 3), 9, np.uint8), np.zeros(shape, np.int32))
        assert np.isfinite(features).all()
    assert region_features(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), -1, np.int32)).shape == (0, 11)
    with pytest.raises(DataError, match="differ in shape"):
        region_features(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4), np.int32))


def test_standardise_by_hand() -> None:
    features = np.array([[1.0, 7.0, 2.0], [5.0, 7.0, 4.0]])
    # Mean 3 and deviation 2; a constant dimension; mean 3 and deviation 1.
    result = standardise(features, features.mean(axis=0), features.std(axis=0), np.array([1.0, 1.0, 0.5]))
    np.testing.assert_array_equal(result, [[-1, 0, -0.5], [1, 0, 0.5]])
    assert result.dtype == np.float32


def test_standardise_does_not_blow_rounding_up() -> None:
    features = np.full((100, 1), 0.1) + np.random.default_rng(0).normal(size=(100, 1)) * 1e-12
    result = standardise(features, features.mean(axis=0), features.std(axis=0), np.ones(1))
    np.testing.assert_array_equal(result, 0)


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


def test_blur_with_everything_valid_is_the_plain_blur() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (25, 30, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        blurred_pixels(pixels, 2.0, np.ones((25, 30), bool)), blurred_pixels(pixels, 2.0), rtol=1e-5
    )
    with pytest.raises(DataError, match="differ"):
        blurred_pixels(pixels, 2.0, np.ones((30, 25), bool))
