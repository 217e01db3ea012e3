"""Connected superpixels of a given number: by hand, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unsegcli.core.superpixels.connected import connected
from unsegcli.core.superpixels.regions import areas, components, contiguous, is_connected

maps = arrays.arrays(np.int32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1, 4))


def flat(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros((1, *shape), np.int16)


def test_a_small_piece_goes_to_the_neighbour_nearest_in_colour() -> None:
    labels = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 2, 1, 1, 1], [0, 0, 0, 1, 1, 1]], np.int32)
    colours = np.where(labels == 0, 100, np.where(labels == 1, 500, 420)).astype(np.int16)[None]
    np.testing.assert_array_equal(connected(labels, colours, 2), np.where(labels == 2, 1, labels))
    np.testing.assert_array_equal(connected(labels, 700 - colours, 2), np.where(labels == 2, 1, labels))
    colours[0, 1, 2] = 180
    np.testing.assert_array_equal(connected(labels, colours, 2), np.where(labels == 2, 0, labels))


def test_a_label_in_two_pieces_becomes_two_superpixels_if_there_is_room() -> None:
    labels = np.array([[0, 0, 1, 1, 0, 0, 0]], np.int32)
    np.testing.assert_array_equal(connected(labels, flat((1, 7)), 3), [[0, 0, 1, 1, 2, 2, 2]])
    np.testing.assert_array_equal(connected(labels, flat((1, 7)), 1), [[0] * 7])


def test_pieces_surrounded_by_small_pieces_are_merged_in_rounds() -> None:
    labels = np.array([[9, 9, 9, 1, 2, 3]], np.int32)
    np.testing.assert_array_equal(connected(labels, flat((1, 6)), 1), [[0] * 6])


def test_a_part_of_its_own_keeps_a_superpixel() -> None:
    labels = np.array([[0, 0, 0, -1, 5], [1, 1, 1, -1, -1]], np.int32)
    np.testing.assert_array_equal(connected(labels, flat((2, 5)), 1), [[0, 0, 0, -1, 1], [0, 0, 0, -1, -1]])


def test_a_spiral_of_one_label_is_one_piece() -> None:
    """Its arms meet late, so that union-find must join many provisional numbers."""
    spiral = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 1, 0, 1],
            [1, 0, 1, 1, 1, 0, 1],
            [1, 0, 0, 0, 0, 0, 1],
            [1, 1, 1, 1, 1, 1, 1],
        ],
        np.int32,
    )
    for turned in (spiral, spiral[::-1], spiral[:, ::-1], spiral.T):
        np.testing.assert_array_equal(connected(turned, flat((7, 7)), 99), components(turned))


@settings(max_examples=100)
@given(maps)
def test_without_merging_it_is_the_components(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(connected(labels, flat(labels.shape), labels.size), components(labels))


@settings(max_examples=100)
@given(maps, st.integers(1, 30), st.integers(0, 10**6))
def test_what_must_always_hold(labels: np.ndarray, count: int, seed: int) -> None:
    planes = np.random.default_rng(seed).integers(-30_000, 30_000, (2, *labels.shape)).astype(np.int16)
    found = connected(labels, planes, count)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found >= 0, labels >= 0)
    np.testing.assert_array_equal(contiguous(found), found)
    assert is_connected(found)
    pieces = components(labels)
    separate = int(components(np.where(labels >= 0, 0, -1)).max()) + 1
    assert found.max() + 1 == min(max(count, separate), pieces.max() + 1)
    assert len(set(zip(pieces.ravel().tolist(), found.ravel().tolist(), strict=True))) == len(np.unique(pieces))


@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_largest_pieces_are_kept(count: int) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (40, 40)).astype(np.int32)
    found = connected(labels, flat((40, 40)), count)
    pieces = components(labels)
    largest = np.sort(areas(pieces, int(pieces.max()) + 1))[-count:]
    assert (np.sort(areas(found, count)) >= largest).all()
