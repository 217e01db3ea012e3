"""Touching objects are parted where the mask narrows, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import label

from unsegcli.core.saliency.touching import parted


def discs(*circles: tuple[float, float, float], shape: tuple[int, int] = (40, 70)) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.any([np.hypot(rows - row, columns - column) <= radius for row, column, radius in circles], axis=0)


def count(mask: NDArray[np.bool_]) -> int:
    """The components, diagonal neighbours taken together."""
    return int(label(mask, connectivity=2).max())


def test_two_discs_that_touch_are_two() -> None:
    pair = discs((20, 20, 11), (20, 40, 11))
    assert count(pair) == 1
    found = parted(pair, 1)
    assert count(found) == 2
    line = pair & ~found
    assert not (found & ~pair).any()
    assert set(np.nonzero(line)[1]) <= {29, 30, 31}
    assert line.sum() <= 12  # the neck has 9 rows


@pytest.mark.parametrize(("along", "down"), [(20, 0), (14, 14), (18, 9), (0, 18)])
def test_the_line_parts_in_any_direction(along: int, down: int) -> None:
    pair = discs((14, 20, 10.4), (14 + down, 20 + along, 10.4), shape=(60, 60))
    found = parted(pair, 1)
    assert (count(pair), count(found)) == (1, 2)
    assert np.sum(pair & ~found) < 0.05 * pair.sum()


def test_a_whole_object_stays_whole() -> None:
    for mask in (discs((20, 30, 15)), np.ones((9, 9), np.bool_), np.zeros((5, 5), np.bool_)):
        np.testing.assert_array_equal(parted(mask, 1), mask)
    bar = np.zeros((40, 70), np.bool_)
    bar[15:25, 5:60] = True
    np.testing.assert_array_equal(parted(bar, 1), bar)


def test_more_depth_parts_less() -> None:
    # The middles are 11 from the background, the neck about 8: it is shallower by 3.
    pair = discs((20, 20, 11), (20, 36, 11))
    assert [count(parted(pair, depth)) for depth in (1, 2, 4)] == [2, 2, 1]


def test_small_objects_beside_a_large_one_are_kept() -> None:
    mask = discs((20, 20, 15))
    mask[3, 60], mask[30:32, 60:62] = True, True
    np.testing.assert_array_equal(parted(mask, 3), mask)


def test_three_in_a_row_and_one_at_the_border() -> None:
    row = discs((20, 12, 9), (20, 28, 9), (20, 44, 9), (0, 44, 12))
    assert count(parted(row, 1)) == 4
