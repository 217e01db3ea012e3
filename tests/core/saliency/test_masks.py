"""Masks of objects: holes, small pieces, votes and agreement, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.saliency.masks import agreement, majority, tidied

ALL = np.ones((10, 10), np.bool_)


def boxes(*slices: tuple[slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros((10, 10), np.bool_)
    for part in slices:
        mask[part] = True
    return mask


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = boxes((slice(2, 7), slice(2, 7)))
    ring[4, 4] = False
    assert tidied(ring, ALL, 0)[4, 4]
    bay = ring.copy()
    bay[4, 4:] = False
    np.testing.assert_array_equal(tidied(bay, ALL, 0), bay)


def test_a_hole_at_the_border_of_the_image_is_open() -> None:
    mask = boxes((slice(0, 5), slice(2, 7)))
    mask[0:3, 4] = False
    np.testing.assert_array_equal(tidied(mask, ALL, 0), mask)


def test_small_pieces_are_dropped_by_their_share_of_the_valid_pixels() -> None:
    mask = boxes((slice(0, 3), slice(0, 3)), (slice(8, 9), slice(8, 10)))
    np.testing.assert_array_equal(tidied(mask, ALL, 0.02), mask)
    np.testing.assert_array_equal(tidied(mask, ALL, 0.021), boxes((slice(0, 3), slice(0, 3))))
    fewer = ALL.copy()
    fewer[3:8] = False
    np.testing.assert_array_equal(tidied(mask, fewer, 0.04), mask)


def test_pieces_that_meet_at_a_corner_are_two() -> None:
    mask = boxes((slice(0, 2), slice(0, 2)), (slice(2, 3), slice(2, 3)))
    assert tidied(mask, ALL, 0.02).sum() == 4


def test_void_is_never_in_the_mask() -> None:
    valid = ALL.copy()
    valid[4, 4] = False
    mask = boxes((slice(2, 7), slice(2, 7)))
    assert not tidied(mask, valid, 0)[4, 4]
    assert tidied(mask, valid, 0).sum() == 24
    assert not tidied(mask, np.zeros_like(ALL), 0.01).any()


def test_nothing_stays_nothing() -> None:
    assert not tidied(np.zeros_like(ALL), ALL, 0.01).any()


def test_majority_is_more_than_half() -> None:
    votes = [np.array([[1, 1, 0, 0]], bool), np.array([[1, 0, 1, 0]], bool), np.array([[1, 1, 0, 0]], bool)]
    assert majority(votes).tolist() == [[True, True, False, False]]
    assert majority(votes[:2]).tolist() == [[True, False, False, False]]


def test_agreement_is_the_mean_iou_of_pairs() -> None:
    one, two, three = (np.array([row], bool) for row in ([1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]))
    assert agreement([one, two, three]) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert agreement([one, one]) == 1.0
    assert agreement([one & False, one & False]) == 0.0
