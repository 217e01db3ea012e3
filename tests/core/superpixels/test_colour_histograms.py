"""Histograms of colours: by hand, for any number of bands, and on a grid the same as of squares."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.superpixels.colour_histograms import BINS, colour_bins, colour_cells, colour_histograms


def test_shares_of_values_by_hand() -> None:
    """One band, two regions: half black and half white; and one value in the middle."""
    pixels = np.array([[0, 255, 128, 128]], np.uint8)[:, :, None]
    regions = np.array([[0, 0, 1, -1]], np.int32)
    found = colour_histograms(pixels, regions, 3)
    assert found.shape == (3, BINS)
    assert found[0, [0, BINS - 1]] == pytest.approx([np.sqrt(0.5)] * 2)
    assert found[1, BINS // 2] == 1
    assert not found[2].any()
    assert (found[:2] ** 2).sum(axis=1) == pytest.approx([1, 1])


def test_three_bands_are_lightness_and_two_colours() -> None:
    pixels = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    bins = colour_bins(pixels)[0]
    assert bins[0].tolist() == [0, BINS // 2, BINS // 2]
    assert bins[1, 0] == BINS - 1
    assert bins[2, 1] > BINS // 2 + 5
    assert colour_histograms(pixels, np.zeros((1, 3), np.int32), 1).shape == (1, 3 * BINS)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 18)])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_cells_are_histograms_of_the_squares_around_them(height: int, width: int, bands: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, bands), np.uint8)
    found = colour_cells(pixels, 4, 1)
    assert found.shape == (-(-height // 4), -(-width // 4), bands * BINS)
    for row, column in ((0, 0), (1, 2), (found.shape[0] - 1, found.shape[1] - 1)):
        around = pixels[max(0, 4 * row - 4) : 4 * row + 8, max(0, 4 * column - 4) : 4 * column + 8]
        wanted = colour_histograms(around, np.zeros(around.shape[:2], np.int32), 1)[0]
        np.testing.assert_allclose(found[row, column], wanted, atol=1e-5)
