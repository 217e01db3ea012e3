"""The space of a network's vectors, by its properties; and maps of cells at the pixels, by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from unsegcli.core.cells import bytes_of_highest_map, cell_numbers, highest_map
from unsegcli.core.superpixels.region_space import Space
from unsegcli.core.vector_space import (
    Layer,
    dimensions_of_layers,
    fit_vector_space,
    joined,
    length_of_layers,
    of_length,
)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("components", [0, 2])
def test_layers_count_the_same_and_all_together_one(whiten: bool, components: int) -> None:
    chance = np.random.default_rng(0)
    features = chance.normal(size=(500, 7)) @ chance.normal(size=(7, 7)) * np.repeat([1, 1e4], [4, 3]) + 5
    weights = chance.integers(1, 9, 500)
    space = fit_vector_space(features, weights, [Layer(4), Layer(3)], components, whiten=whiten)
    mapped = space(features).astype(np.float64)
    assert mapped.shape[1] == (2 * components or 7)
    share, cut = weights / weights.sum(), components or 4
    np.testing.assert_allclose(share @ mapped, 0, atol=1e-6)
    sizes = [share @ (part**2).sum(axis=1) for part in (mapped[:, :cut], mapped[:, cut:])]
    np.testing.assert_allclose(sizes, [0.5, 0.5], rtol=1e-4)
    spread = (mapped[:, :cut] * share[:, None]).T @ mapped[:, :cut]
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-5)
    assert (np.ptp(np.diag(spread)) < 1e-5) == whiten


def test_a_constant_layer_does_not_count() -> None:
    features = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), np.full((50, 3), 4.0)], axis=1)
    space = fit_vector_space(features, np.ones(50), [Layer(2), Layer(3)], 0, whiten=True)
    assert np.isfinite(space.projection).all()
    assert not space.projection[2:].any()


def test_joined_spaces_by_hand() -> None:
    one, other = Space(np.array([1.0]), np.array([[2.0]])), Space(np.array([0.0, 0.0]), np.array([[1.0], [1.0]]))
    both = joined([one, other], [1.0, 3.0])
    np.testing.assert_array_equal(both(np.array([[2.0, 1.0, 0.5]])), [[2.0, 4.5]])
    unit = joined([one, other], [1.0, 1.0], unit=True)
    np.testing.assert_allclose(unit(np.array([[2.5, 1.0, 3.0]])), [[0.6, 0.8]], rtol=1e-6)
    half = of_length(one, np.array([[0.0], [2.0]]), np.ones(2))
    np.testing.assert_array_equal(half.projection, [[1.0]])
    longer = of_length(one, np.array([[0.0], [2.0]]), np.array([1.0, 3.0]), 0.5)
    np.testing.assert_array_equal(longer.projection, [[0.5]])
    nothing = of_length(one, np.ones((4, 1)), np.ones(4), 3.0)
    np.testing.assert_array_equal(nothing.projection, one.projection)


def test_layers_count_by_their_weights() -> None:
    chance = np.random.default_rng(0)
    features, areas = chance.normal(3, [1, *[100] * 50], (500, 51)), chance.uniform(1, 9, 500)
    layers = [Layer(1, 0.5), Layer(50)]
    space = fit_vector_space(features, areas, layers)
    found, share = space(features).astype(float), areas / areas.sum()
    assert found.shape == (500, dimensions_of_layers(layers)) == (500, 33)
    sizes = [share @ (part**2).sum(axis=1) for part in (found[:, :1], found[:, 1:])]
    np.testing.assert_allclose(sizes, [0.2, 0.8], rtol=1e-4)
    assert length_of_layers(layers) == pytest.approx(1.25**0.5)
    assert not space.projection[0, 1:].any()
    assert not space.projection[1:, 0].any()


def test_cells_by_hand() -> None:
    # Cells of 2.5 x 2 pixels: rows 0 and 1 (centres .5 and 1.5) lie in the first; row 2 has its centre on the border.
    np.testing.assert_array_equal(cell_numbers((4, 3), (2, 2), (2.5, 2)), [[0, 0, 1], [0, 0, 1], [2, 2, 3], [2, 2, 3]])
    # Along a row of two cells of 4 pixels, centres 2 and 6, map 1 rises from 0 to 1; map 0 is .3: passed at 2 + .3 * 4.
    maps = np.array([[[0.3, 0.3]], [[0.0, 1.0]]], np.float32)
    found = highest_map(maps, (2, 4), np.ones((1, 2)), None, None, (2, 8))
    np.testing.assert_array_equal(found, [[0, 0, 0, 1, 1, 1, 1, 1]] * 2)
    void = highest_map(maps, (2, 4), np.array([[8, 0]]), None, None, (2, 8))  # the second cell has no valid pixel
    assert not void[:, :4].any()


def test_strips_do_not_change_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    maps, pixels = chance.normal(size=(3, 12, 5)).astype(np.float32), chance.integers(0, 256, (96, 40, 3), np.uint8)
    valid = chance.random((96, 40)) > 0.2
    arguments = ((8.0, 8.0), np.ones((12, 5)), pixels, valid, (96, 40))
    whole = highest_map(maps, *arguments)
    monkeypatch.setattr("unsegcli.core.cells.STRIP_VALUES", 1)
    np.testing.assert_array_equal(highest_map(maps, *arguments), whole)


@pytest.mark.parametrize(("maps", "bands"), [(24, 3), (8, 3), (8, 6), (24, 0)])
def test_memory_for_maps_of_cells_is_estimated(maps: int, bands: int) -> None:
    chance, side = np.random.default_rng(0), 256
    image = chance.integers(0, 256, (side, side, bands), np.uint8) if bands else None
    cells = chance.random((maps, 16, 16), np.float32)
    for _ in range(2):  # the first time, loops are loaded
        tracemalloc.start()
        highest_map(cells, (16, 16), np.ones((16, 16)), image, None, (side, side))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak / 1.3 < bytes_of_highest_map(side * side, maps, bands) < 1.3 * peak
