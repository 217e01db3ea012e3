"""The space of regions: groups by hand, and what position explains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.superpixels.features import GROUPS, feature_groups
from unsegcli.core.superpixels.region_space import (
    GROUP_WEIGHTS,
    LARGEST_PLACE_WEIGHT,
    PLACE_WEIGHT,
    REDUCED,
    STRIPS,
    Space,
    explained_by_neighbours,
    explained_by_place,
    fit_space,
    place_weights,
    unchanged_space,
)


def scattered(bands: int, images: int = 40, each: int = 100) -> tuple[NDArray[np.float64], ...]:
    """Features that have nothing to do with the place, areas, and numbers of images."""
    count, chance = images * each, np.random.default_rng(0)
    groups = feature_groups(bands)
    features = 7 + chance.uniform(0.1, 50, groups["surroundings"].stop) * chance.normal(
        size=(count, groups["surroundings"].stop)
    )
    features[:, groups["position"]] = chance.uniform(size=(count, 2))
    own = features[:, : groups["position"].start]
    adjacent = slice(groups["surroundings"].start, groups["surroundings"].start + own.shape[1])
    features[:, adjacent] = own  # regions are like their neighbours
    return features, chance.uniform(1, 2, count), np.repeat(np.arange(images), each)


def squared_length(points: NDArray[np.float32], areas: NDArray[np.float64]) -> float:
    return float(np.average((points.astype(np.float64) ** 2).sum(axis=1), weights=areas))


@pytest.mark.parametrize("bands", [1, 3, 7])
def test_each_group_weighs_what_it_should_whatever_its_length_and_units(bands: int) -> None:
    features, areas, _ = scattered(bands)
    for name, weight in GROUP_WEIGHTS.items():
        points = fit_space(features, areas, bands, (0, 0), (name,))(features)
        assert squared_length(points, areas) == pytest.approx(weight**2, rel=1e-3)
        np.testing.assert_allclose(np.average(points, axis=0, weights=areas), 0, atol=1e-4)
    every = fit_space(features, areas, bands, (0.3, 0.1))(features)
    expected = sum(weight**2 for weight in GROUP_WEIGHTS.values()) + 0.3**2 + 0.1**2
    assert squared_length(every, areas) == pytest.approx(expected, rel=1e-3)


def test_bands_of_one_unit_are_scaled_as_a_whole() -> None:
    features, areas, _ = scattered(7)
    features[:, :21] *= np.linspace(1, 9, 21)
    points = fit_space(features, areas, 7, (0, 0), ("colour",), alike=True)(features)
    ratio = np.linalg.norm(points[1:] - points[0], axis=1) / np.linalg.norm(
        (features[1:] - features[0])[:, :21], axis=1
    )
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert squared_length(points, areas) == pytest.approx(GROUP_WEIGHTS["colour"] ** 2, rel=1e-3)


def test_surroundings_count_where_neighbours_explain_something() -> None:
    """Neighbours that are alike explain everything, unrelated ones nothing, and half as much noise four fifths."""
    features, areas, _ = scattered(3)
    share, groups = areas / areas.sum(), feature_groups(3)
    start, length = groups["surroundings"].start, groups["position"].start
    adjacent = slice(start, start + length)
    assert explained_by_neighbours(features, share, 3) == pytest.approx(1)
    chance = np.random.default_rng(1)
    noise = chance.normal(size=(len(features), length)) * features[:, :length].std(axis=0)
    features[:, adjacent] += 0.5 * noise
    assert explained_by_neighbours(features, share, 3) == pytest.approx(0.8, abs=0.02)
    features[:, adjacent] = noise
    assert explained_by_neighbours(features, share, 3) < 0.01
    points = fit_space(features, areas, 3, (0, 0), ("surroundings",))(features)
    assert squared_length(points, areas) < 0.01


def test_a_long_group_keeps_its_principal_components() -> None:
    features, areas, _ = scattered(3)
    around = feature_groups(3)["surroundings"]
    features[:, around] = features[:, :1] * np.arange(1, around.stop - around.start + 1)  # all one direction
    points = fit_space(features, areas, 3, (0, 0), ("surroundings",))(features)
    assert points.shape[1] == REDUCED["surroundings"]
    spread = points.std(axis=0)
    assert spread.max() > 1e3 * np.sort(spread)[-2]


def test_chosen_groups_alone_count() -> None:
    features, areas, _ = scattered(3)
    space = fit_space(features, areas, 3, (0.5, 0.5), ("colour", "patches"))
    groups, changed = feature_groups(3), features.copy()
    for name in set(GROUPS) - {"colour", "patches"}:
        changed[:, groups[name]] += 5
    np.testing.assert_array_equal(space(changed), space(features))
    both = space.projection.shape[1]
    assert both == sum(
        fit_space(features, areas, 3, (0, 0), (name,)).projection.shape[1] for name in ("colour", "patches")
    )


def test_position_weighs_as_it_is_told_to() -> None:
    features, areas, _ = scattered(3)
    points = fit_space(features, areas, 3, (0.3, 0.1), ("position",))(features)
    centred = points - np.average(points, axis=0, weights=areas)
    np.testing.assert_allclose(np.sqrt(np.average(centred**2, axis=0, weights=areas)), [0.3, 0.1], rtol=1e-3)


def test_constant_features_count_nothing_and_rounding_is_not_blown_up() -> None:
    features, areas, _ = scattered(3)
    features[:, 0] = 0.1 + np.random.default_rng(1).normal(size=len(features)) * 1e-12
    space = fit_space(features, areas, 3, (0.1, 0.1))
    np.testing.assert_array_equal(space.projection[0], 0)
    plain = np.full((50, features.shape[1]), 3.0)
    np.testing.assert_allclose(fit_space(plain, np.ones(50), 3, (0.1, 0.1))(plain), 0)


def test_regions_of_no_area_do_not_count() -> None:
    features, areas, _ = scattered(1)
    areas[::2] = 0
    without = fit_space(features[1::2], areas[1::2], 1, (0.1, 0.2), ("colour", "position"))
    found = fit_space(features, areas, 1, (0.1, 0.2), ("colour", "position"))
    np.testing.assert_allclose(found.projection, without.projection, rtol=1e-9, atol=1e-12)


def test_spaces_by_hand() -> None:
    space = Space(np.array([1.0, 2.0]), np.array([[1.0], [10.0]]))
    np.testing.assert_array_equal(space(np.array([[2.0, 4.0], [1.0, 2.0]])), [[21], [0]])
    features = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(unchanged_space(4)(features), features)


def test_many_bands() -> None:
    features, areas, _ = scattered(100, images=3)
    points = fit_space(features, areas, 100, (0, 0))(features)
    assert points.shape[1] < 100 * 3 + 60
    assert np.isfinite(points).all()


def test_place_counts_by_what_it_explains() -> None:
    features, areas, images = scattered(3)
    groups = feature_groups(3)
    assert max(place_weights(features, areas, 3, images)) < 0.1
    seen = features[:, groups["colour"].start : groups["texture"].stop]
    seen += 0.6 * seen.std(axis=0) * np.floor(STRIPS * features[:, groups["position"]][:, :1])  # from top to bottom
    row, column = place_weights(features, areas, 3, images)
    assert row == pytest.approx(LARGEST_PLACE_WEIGHT)
    assert column < 0.1


def test_the_rule_of_place_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = iter([0.01, 0.9])
    monkeypatch.setattr("unsegcli.core.superpixels.region_space.explained_by_place", lambda *_: next(explained))
    features, areas, images = scattered(1, images=3)
    assert place_weights(features, areas, 1, images) == (pytest.approx(0.1 * PLACE_WEIGHT), LARGEST_PLACE_WEIGHT)


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
