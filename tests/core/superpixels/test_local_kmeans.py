"""The iterations of SLIC beside a plain version in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.superpixels.lattice import Lattice, lattice
from unsegcli.core.superpixels.local_kmeans import cell_means, gathered, iterate, spread


def image(seed: int, bands: int, height: int = 37, width: int = 53) -> np.ndarray:
    return np.random.default_rng(seed).integers(-20_000, 25_000, (bands, height, width)).astype(np.int16)


def features_of(planes: np.ndarray) -> np.ndarray:
    """Row, column and bands of each pixel: (height, width, 2 + bands)."""
    rows, columns = np.mgrid[: planes.shape[1], : planes.shape[2]]
    return np.stack([rows, columns, *planes], axis=2).astype(float)


def cell_of(made: Lattice, shape: tuple[int, int]) -> np.ndarray:
    cells = np.full(shape, -1)
    for number, (top, bottom, left, right) in enumerate(made.cells):
        cells[top:bottom, left:right] = number
    return cells


def distances(planes: np.ndarray, made: Lattice, centres: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Squared distance of each pixel to each of its nine candidates: (height, width, 9)."""
    candidates = made.candidates[cell_of(made, planes.shape[1:])]
    differences = features_of(planes)[:, :, None] - centres[candidates]
    return (weights * differences**2).sum(axis=3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("bands", [1, 2, 3, 6])
def test_cell_means(bands: int, masked: bool) -> None:
    planes = image(1, bands)
    valid = np.random.default_rng(2).random(planes.shape[1:]) < 0.6 if masked else None
    made = lattice(planes.shape[1:], valid, 24)
    inside = np.ones(planes.shape[1:], bool) if valid is None else valid
    cells = np.where(inside, cell_of(made, inside.shape), -1)
    expected = [features_of(planes)[cells == cell].mean(axis=0) for cell in range(len(made.cells))]
    np.testing.assert_allclose(cell_means(gathered(planes, valid, made)), expected, rtol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 60), st.booleans())
def test_each_pixel_gets_its_nearest_candidate(seed: int, bands: int, count: int, masked: bool) -> None:
    planes = image(seed, bands)
    valid = np.random.default_rng(seed).random(planes.shape[1:]) < 0.5 if masked else None
    made = lattice(planes.shape[1:], valid, count)
    cells = gathered(planes, valid, made)
    before = cell_means(cells)
    weights = np.array([3e5, 3e5] + [1.0] * bands)
    centres, nearest = before.copy(), np.zeros(cells.features.shape[1], np.uint8)
    iterate(cells, centres, weights, nearest, None)
    labels = spread(cells, nearest, planes.shape[1:])

    inside = np.ones(labels.shape, bool) if valid is None else valid
    np.testing.assert_array_equal(labels >= 0, inside)
    found = (weights * (features_of(planes) - before[labels]) ** 2).sum(axis=2)
    smallest = distances(planes, made, before, weights).min(axis=2)
    assert (found[inside] <= smallest[inside] * (1 + 1e-4)).all()  # nearer by less than float32 tells apart

    for centre in range(len(made.cells)):
        mine = inside & (labels == centre)
        expected = features_of(planes)[mine].mean(axis=0) if mine.any() else before[centre]
        np.testing.assert_allclose(centres[centre], expected, rtol=1e-12)


def test_halves_are_the_rows_of_each_cell_in_turns() -> None:
    planes = image(3, 3, 20, 20)
    made = lattice((20, 20), None, 4)
    cells = gathered(planes, None, made)
    weights = np.array([1e12, 1e12, 1.0, 1.0, 1.0])  # each pixel stays in its cell
    for half in range(2):
        centres, nearest = cell_means(cells), np.zeros(cells.features.shape[1], np.uint8)
        iterate(cells, centres, weights, nearest, half)
        expected = [
            features_of(planes)[top + half : bottom : 2, left:right].reshape(-1, 5).mean(axis=0)
            for top, bottom, left, right in made.cells
        ]
        np.testing.assert_allclose(centres, expected, rtol=1e-12)


def test_large_cells_are_computed_in_chunks() -> None:
    planes = image(4, 3, 90, 110)
    made = lattice((90, 110), None, 2)
    cells = gathered(planes, None, made)
    expected = [planes[:, :, left:right].mean(axis=(1, 2)) for _, _, left, right in made.cells]
    np.testing.assert_allclose(cell_means(cells)[:, 2:], expected, rtol=1e-12)


def test_positions_far_from_the_corner_are_exact() -> None:
    """Two halves of a narrow image, 30,000 columns wide, are told apart by position to the pixel."""
    planes = np.zeros((1, 2, 30_000), np.int16)
    made = lattice((2, 30_000), None, 300)
    cells = gathered(planes, None, made)
    centres, nearest = cell_means(cells), np.zeros(cells.features.shape[1], np.uint8)
    iterate(cells, centres, np.array([1e6, 1e6, 1.0]), nearest, None)
    np.testing.assert_array_equal(spread(cells, nearest, (2, 30_000)), np.arange(30_000)[None].repeat(2, 0) // 100)
