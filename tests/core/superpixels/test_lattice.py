"""The lattice of SLIC: its cells cover the valid pixels once, have equal areas, and know their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.superpixels.lattice import Lattice, lattice

few = settings(max_examples=60)


def covered(made: Lattice, shape: tuple[int, int]) -> np.ndarray:
    """How often each pixel is in a cell."""
    times = np.zeros(shape, int)
    for top, bottom, left, right in made.cells:
        times[top:bottom, left:right] += 1
    return times


def test_by_hand() -> None:
    made = lattice((4, 6), None, 6)
    np.testing.assert_array_equal(
        made.cells, [[0, 2, 0, 2], [0, 2, 2, 4], [0, 2, 4, 6], [2, 4, 0, 2], [2, 4, 2, 4], [2, 4, 4, 6]]
    )
    np.testing.assert_array_equal(made.areas, [4] * 6)
    np.testing.assert_array_equal(made.candidates[0], [0, 0, 1, 0, 0, 0, 0, 3, 4])
    np.testing.assert_array_equal(made.candidates[4], [4, 3, 5, 0, 1, 2, 4, 4, 4])


def test_bands_of_different_numbers_of_cells() -> None:
    made = lattice((20, 20), None, 5)
    assert [len(set(made.cells[made.cells[:, 0] == top, 2])) for top in np.unique(made.cells[:, 0])] == [2, 3]
    assert sorted(set(made.candidates[0])) == [0, 1, 2, 3]


@settings(max_examples=300)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 400))
def test_cells_cover_an_image_once(height: int, width: int, count: int) -> None:
    count = min(count, height * width)
    made = lattice((height, width), None, count)
    assert (covered(made, (height, width)) == 1).all()
    assert made.areas.sum() == height * width
    if height * width >= 9 * count:
        assert len(made.cells) == count
    assert 0.8 * count <= len(made.cells) <= 1.2 * count + 1


@few
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.floats(0.05, 1))
def test_cells_cover_valid_pixels_once(seed: int, height: int, width: int, count: int, share: float) -> None:
    valid = np.random.default_rng(seed).random((height, width)) < share
    if not valid.any():
        return
    made = lattice((height, width), valid, min(count, int(valid.sum())))
    assert (covered(made, (height, width))[valid] == 1).all()
    areas = [valid[top:bottom, left:right].sum() for top, bottom, left, right in made.cells]
    np.testing.assert_array_equal(made.areas, areas)
    assert made.areas.min() > 0
    assert (made.candidates[:, 0] == np.arange(len(made.cells))).all()
    assert 0 <= made.candidates.min() <= made.candidates.max() < len(made.cells)


@pytest.mark.parametrize("count", [25, 97, 100, 300, 1311])
def test_cells_have_almost_equal_areas(count: int) -> None:
    made = lattice((321, 481), None, count)
    assert len(made.cells) == count
    assert made.areas.max() < 1.2 * made.areas.min()


def test_masked_cells_have_almost_equal_areas() -> None:
    valid = np.hypot(*np.mgrid[-100:100, -100:100]) < 90
    valid[60:90, 60:140] = False
    made = lattice((200, 200), valid, 50)
    assert len(made.cells) == 50
    assert made.areas.max() < 1.4 * made.areas.min()


def test_neighbours_are_near() -> None:
    """No cell outside the candidates is nearer than the farthest candidate of the same band of rows."""
    made = lattice((100, 150), None, 61)
    middles = (made.cells[:, 2] + made.cells[:, 3]) / 2
    tops = np.unique(made.cells[:, 0])
    for cell in range(len(made.cells)):
        band = int(np.searchsorted(tops, made.cells[cell, 0]))
        for other in (band - 1, band + 1):
            if 0 <= other < len(tops):
                there = np.flatnonzero(made.cells[:, 0] == tops[other])
                nearest = there[np.abs(middles[there] - middles[cell]).argmin()]
                assert {nearest - 1, nearest, nearest + 1} & set(there) <= set(made.candidates[cell])
