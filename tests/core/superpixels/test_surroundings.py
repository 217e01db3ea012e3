"""Surroundings of regions: by hand, and their symmetries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from unsegcli.core.superpixels.regions import centroids
from unsegcli.core.superpixels.surroundings import REACH, ROUNDS, SORTS, STEPS, averaging_matrix, surroundings


def around(features: list[float] | NDArray[np.float64], regions: NDArray[np.int32]) -> dict[str, NDArray[np.float32]]:
    """Each sort of surroundings of a single feature: (regions,)."""
    values = np.asarray(features, np.float32)[:, None]
    centres = centroids(regions, len(values)) * np.array(regions.shape)
    return dict(zip(SORTS, surroundings(values, regions, centres).T, strict=True))


def column(heights: int = 4, count: int = 3) -> NDArray[np.int32]:
    """Regions above one another, numbered from the top."""
    return np.repeat(np.arange(count, dtype=np.int32), heights)[:, None].repeat(5, axis=1)


def grid(rows: int = 5, columns: int = 6, side: int = 4) -> NDArray[np.int32]:
    numbers = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    return numbers.repeat(side, axis=0).repeat(side, axis=1)


def test_three_regions_above_one_another_by_hand() -> None:
    found = around([1, 2, 4], column())
    np.testing.assert_allclose(found["adjacent"], [2, 2.5, 2])
    np.testing.assert_allclose(found["above"][0], 1, err_msg="nothing is above: its own")
    np.testing.assert_allclose(found["below"][2], 4)
    # Below the middle is only 4, which stands for itself; below the top are 2 and, through it, 4.
    np.testing.assert_allclose(found["below"][1], 4)
    np.testing.assert_allclose(found["below"][0], (1 - REACH) * 2 + REACH * 4, rtol=1e-5)


def test_the_matrix_of_averages_is_that_of_its_entries() -> None:
    """Region 1 has no share in anything, so it stands for itself, and region 4 has no neighbour."""
    one, other = np.array([0, 0, 1, 2, 3, 3]), np.array([1, 2, 0, 0, 0, 2])
    shares = np.array([1.0, 3.0, 0.0, 2.0, 1.0, 2.0])
    rows, columns = np.append(one, [1, 4]), np.append(other, [1, 4])
    values = np.append(shares, [1, 1]) / np.array([4, 4, 1, 2, 3, 3, 1, 1])
    expected = coo_array((values, (rows, columns)), shape=(5, 5)).toarray()
    np.testing.assert_array_equal(averaging_matrix(one, other, shares, 5).toarray(), expected)
    assert expected.sum() == 5


def test_near_spreads_from_neighbour_to_neighbour() -> None:
    features = np.zeros(12)
    features[0] = 1
    found = around(features, column(4, 12))
    assert found["near"][ROUNDS] > 0
    assert found["near"][ROUNDS + 1] == 0
    assert (found["above"][1 : STEPS + 1] > 0).all()


def test_neighbours_count_by_the_length_of_the_border() -> None:
    regions = np.zeros((6, 6), np.int32)
    regions[:, 3:] = 1
    regions[4:, 3:] = 2  # region 0 borders 1 along 4 pixels and 2 along 2
    np.testing.assert_allclose(around([0, 3, 9], regions)["adjacent"][0], (4 * 3 + 2 * 9) / 6)


def test_beside_is_neither_above_nor_below() -> None:
    regions = column().T.copy()
    found = around([1, 2, 4], regions)
    for sort in ("above", "below"):
        np.testing.assert_array_equal(found[sort], [1, 2, 4])


def test_a_region_alone_is_its_own_surroundings() -> None:
    regions = column()
    regions[3:5] = -1  # void between the first and the rest
    found = around([1, 2, 4], regions)
    assert all(values[0] == 1 for values in found.values())


def test_mirrored_images() -> None:
    features = np.random.default_rng(0).normal(size=30)
    regions = grid()
    found = around(features, regions)
    sideways, upside_down = around(features, regions[:, ::-1]), around(features, regions[::-1])
    for sort, other in (("adjacent", "adjacent"), ("near", "near"), ("above", "below"), ("below", "above")):
        np.testing.assert_allclose(sideways[sort], found[sort], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(upside_down[sort], found[other], rtol=1e-4, atol=1e-5)


def test_renumbering_reorders() -> None:
    features, regions = np.random.default_rng(0).normal(size=30), grid()
    order = np.random.default_rng(1).permutation(30).astype(np.int32)
    found, expected = around(features[np.argsort(order)], order[regions]), around(features, regions)
    for sort in SORTS:
        np.testing.assert_allclose(found[sort][order], expected[sort], rtol=1e-4, atol=1e-5)


def test_no_region() -> None:
    assert surroundings(np.zeros((0, 3), np.float32), np.full((4, 4), -1, np.int32), np.zeros((0, 2))).shape == (0, 12)
