"""The graph of superpixels: who touches whom, what the border is, also beside void."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.superpixels.graph import MOST, SPREAD_IN_LAB, colours_of, distances, graph_of, stretched
from unsegcli.errors import DataError

#   0 0 1
#   2 3 1
#   2 4 4
ROUND = np.array([[0, 0, 1], [2, 3, 1], [2, 4, 4]], np.int32)


def grey(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.repeat((values[:, :, None] * 20).astype(np.uint8), 3, axis=2)


def links_of(matrix: NDArray[np.bool_]) -> set[tuple[int, int]]:
    return {(int(one), int(other)) for one, other in zip(*np.nonzero(np.triu(matrix)), strict=True)}


def test_neighbours_share_an_edge_of_a_pixel() -> None:
    graph = graph_of(grey(ROUND), ROUND)
    assert links_of(graph.adjacent) == {(0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)}
    assert (graph.adjacent == graph.adjacent.T).all()
    assert links_of(graph.near) == links_of(graph.adjacent) | {(0, 4), (1, 2)}
    assert not graph.near.diagonal().any()
    assert graph.areas.tolist() == [2, 2, 2, 1, 2]


def test_two_hops_are_no_three() -> None:
    row = np.arange(5, dtype=np.int32)[None, :]
    graph = graph_of(grey(row), row)
    assert links_of(graph.adjacent) == {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert links_of(graph.near) == links_of(graph.adjacent) | {(0, 2), (1, 3), (2, 4)}


def test_sides_are_top_bottom_left_and_right() -> None:
    graph = graph_of(grey(ROUND), ROUND)
    assert [np.flatnonzero(side).tolist() for side in graph.sides] == [[0, 1], [2, 4], [0, 2], [1, 4]]
    assert graph.border.tolist() == [True, True, True, False, True]
    assert links_of(graph.bordered(np.zeros((5, 5), np.bool_))) == {(0, 1), (0, 2), (0, 4), (1, 2), (1, 4), (2, 4)}


def test_border_is_where_the_image_begins_and_a_hole_is_none() -> None:
    regions = np.full((9, 9), -1, np.int32)
    regions[1:8, 1:8] = 0  # a ring
    regions[2:7, 2:7] = 1
    regions[4, 4] = -1
    graph = graph_of(grey(np.maximum(regions, 0)), regions)
    assert graph.border.tolist() == [True, False]


def test_colours_are_lab_and_those_of_other_bands_have_its_spread() -> None:
    black_and_white = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(colours_of(black_and_white, np.ones((1, 2), np.bool_))[0, :, 0], [0, 100], atol=1e-4)
    random = np.random.default_rng(0)
    for bands in (1, 2, 5):
        pixels = random.random((20, 30, bands)).astype(np.float32) * np.linspace(0.1, 1, bands, dtype=np.float32)
        colours = colours_of(pixels, np.ones((20, 30), np.bool_)).reshape(-1, bands)
        np.testing.assert_allclose(colours.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(colours.var(axis=0), SPREAD_IN_LAB**2 / bands, rtol=1e-4)


def test_void_pixels_and_plain_bands_have_no_influence_on_colours() -> None:
    pixels = np.random.default_rng(1).random((6, 6, 2)).astype(np.float32)
    pixels[:, :, 1] = 0.3
    valid = np.ones((6, 6), np.bool_)
    valid[0] = False
    first = colours_of(pixels, valid)
    pixels[0] = 1.0
    np.testing.assert_array_equal(colours_of(pixels, valid)[valid], first[valid])
    assert (first[:, :, 1] == 0).all()


def test_too_many_superpixels_are_refused() -> None:
    regions = np.arange(MOST + 1, dtype=np.int32)[None, :]
    with pytest.raises(DataError, match="make larger ones"):
        graph_of(np.zeros((1, MOST + 1, 3), np.uint8), regions)


def test_distances_and_stretching_by_hand() -> None:
    np.testing.assert_allclose(distances(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 5], [5, 0]])
    assert stretched(np.array([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert stretched(np.array([7.0, 7.0 + 1e-12])).tolist() == [0.0, 0.0]
    assert stretched(np.zeros(0)).tolist() == []
