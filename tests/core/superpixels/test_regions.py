"""Numbering, connectivity, pooling and painting of region maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unsegcli.core.superpixels.regions import (
    absorb,
    areas,
    centroids,
    components,
    contiguous,
    is_connected,
    paint,
    pool,
)
from unsegcli.errors import DataError

few = settings(max_examples=60)
maps = arrays.arrays(np.int64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-2, 6))


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})


def test_contiguous_by_hand() -> None:
    regions = np.array([[7, 7, -3], [2, 7, 900], [2, -1, 5]])
    np.testing.assert_array_equal(contiguous(regions), [[0, 0, -1], [1, 0, 2], [1, -1, 3]])
    valid = np.array([[False, False, True], [True, True, False], [True, True, True]])
    np.testing.assert_array_equal(contiguous(regions, valid), [[-1, -1, -1], [0, 1, -1], [0, -1, 2]])


@few
@given(maps)
def test_contiguous_keeps_the_partition_and_numbers_by_appearance(regions: np.ndarray) -> None:
    numbered = contiguous(regions)
    assert numbered.dtype == np.int32
    assert same_partition(np.maximum(regions, -1), numbered)
    present = numbered[numbered >= 0]
    firsts = list(dict.fromkeys(present.tolist()))
    assert firsts == list(range(len(firsts)))
    np.testing.assert_array_equal(contiguous(numbered), numbered)


@few
@given(maps)
def test_contiguous_takes_large_numbers_and_unsigned_maps(regions: np.ndarray) -> None:
    expected = contiguous(regions)
    np.testing.assert_array_equal(contiguous(np.where(regions < 0, regions, regions * 10**12)), expected)
    unsigned = np.maximum(regions, 0).astype(np.uint16)
    np.testing.assert_array_equal(contiguous(unsigned), contiguous(np.maximum(regions, 0)))


def test_contiguous_of_nothing() -> None:
    assert contiguous(np.zeros((0, 3), int)).shape == (0, 3)
    np.testing.assert_array_equal(contiguous(np.full((2, 2), -1)), np.full((2, 2), -1))
    np.testing.assert_array_equal(contiguous(np.zeros((2, 2), int), np.zeros((2, 2), bool)), np.full((2, 2), -1))
    with pytest.raises(DataError, match="differ in shape"):
        contiguous(np.zeros((2, 3), int), np.ones((3, 2), bool))


def test_components_by_hand() -> None:
    # The diagonal neighbours of 4 are two pieces; so are the two zeros on either side of the gap.
    regions = np.array([[4, 0, -1, 0], [0, 4, -1, 0]])
    np.testing.assert_array_equal(components(regions), [[0, 1, -1, 2], [3, 4, -1, 2]])
    assert not is_connected(regions)
    assert is_connected(components(regions))


@few
@given(maps)
def test_components_refine_the_regions_and_are_connected(regions: np.ndarray) -> None:
    parts = components(regions)
    assert is_connected(parts)
    np.testing.assert_array_equal(parts < 0, regions < 0)
    for part in range(int(parts.max()) + 1):
        assert len(np.unique(regions[parts == part])) == 1
    assert (parts.max() == contiguous(regions).max()) == is_connected(regions)
    np.testing.assert_array_equal(components(parts), parts)


def test_absorb_takes_the_longest_border() -> None:
    regions = contiguous(np.array([[0, 0, 0, 1], [0, 2, 1, 1], [0, 2, 1, 1], [0, 0, 1, 1]]))
    # Region 2 has two pixels: four edges with 0 (left, left, above, below), two with 1.
    np.testing.assert_array_equal(absorb(regions, 3), np.where(regions == 2, 0, regions))
    np.testing.assert_array_equal(absorb(regions, 2), regions)
    # Mirrored, the neighbour of the longest border has the higher number.
    mirrored = contiguous(regions[:, ::-1])
    assert mirrored[1, 2] == 2
    assert mirrored[0, 3] == 1
    np.testing.assert_array_equal(absorb(mirrored, 3), np.where(mirrored == 2, 1, mirrored))


def test_absorb_leaves_an_island() -> None:
    regions = np.array([[0, -1, 1, 1], [-1, -1, 1, 2]], np.int32)
    np.testing.assert_array_equal(absorb(regions, 3), [[0, -1, 1, 1], [-1, -1, 1, 1]])


@few
@given(maps, st.integers(1, 12))
def test_absorb_leaves_no_small_region_beside_another(regions: np.ndarray, smallest: int) -> None:
    merged = absorb(components(regions), smallest)
    assert is_connected(merged)
    np.testing.assert_array_equal(merged < 0, regions < 0)
    np.testing.assert_array_equal(contiguous(merged), merged)
    islands = components(np.where(regions < 0, -1, 0))
    for region, area in enumerate(areas(merged, int(merged.max()) + 1)):
        island = islands == islands[merged == region][0]
        assert area >= smallest or area == island.sum()


@few
@given(maps, st.integers(1, 3))
def test_pooling_what_was_painted_gives_it_back_and_painting_is_idempotent(
    regions: np.ndarray, dimensions: int
) -> None:
    regions = contiguous(regions)
    count = int(regions.max()) + 1
    values = np.random.default_rng(0).normal(size=(count, dimensions))
    np.testing.assert_allclose(pool(paint(values, regions, 0.0), regions, count), values, atol=1e-12)
    pixels = np.random.default_rng(1).normal(size=(*regions.shape, dimensions))
    once = paint(pool(pixels, regions, count), regions, np.nan)
    np.testing.assert_allclose(paint(pool(once, regions, count), regions, np.nan), once, atol=1e-12)


def test_pool_by_hand() -> None:
    values = np.array([[1.0, 3.0, 8.0], [5.0, 7.0, 100.0]])[:, :, None]
    regions = np.array([[0, 0, 2], [0, 2, -1]], np.int32)
    np.testing.assert_array_equal(pool(values, regions, 4), [[3.0], [0.0], [7.5], [0.0]])
    np.testing.assert_array_equal(areas(regions, 4), [3, 0, 2, 0])


def test_paint_by_hand() -> None:
    regions = np.array([[0, 1, -1]], np.int32)
    painted = paint(np.array([5, 9], np.uint8), regions, 255)
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, [[5, 9, 255]])


def test_a_number_too_high_is_an_error_not_void() -> None:
    regions = np.array([[0, 2]], np.int32)
    for call in (
        lambda: paint(np.zeros(2), regions, 0.0),
        lambda: pool(np.zeros((1, 2, 1)), regions, 2),
        lambda: areas(np.array([[-2, 0]], np.int32), 2),
    ):
        with pytest.raises(DataError, match="regions"):
            call()


def test_centroids_by_hand() -> None:
    regions = np.array([[0, 0, 1, -1], [2, 2, 1, -1]], np.int32)
    np.testing.assert_allclose(centroids(regions, 3), [[0.25, 0.25], [0.5, 0.625], [0.75, 0.25]])
