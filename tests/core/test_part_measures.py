"""Measures of parts, by hand."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from unsegcli.core.part_measures import MeanSums, MeasureSums, measured, part_means
from unsegcli.core.superpixels.regions import components

PARTS = np.array([[0, 0, -1, 1], [0, 0, -1, 1], [-1, -1, -1, 1]])


def test_area_box_and_centre() -> None:
    found = measured(PARTS.astype(np.int32))
    assert found.areas.tolist() == [4, 3]
    assert found.boxes.tolist() == [[0, 0, 2, 2], [3, 0, 1, 3]]
    assert found.centres.tolist() == [[1, 1], [3.5, 1.5]]


def test_outlines_cut_corners() -> None:
    """Two by two pixels: four corners of half a diagonal, and four sides between middles."""
    square, line = measured(PARTS.astype(np.int32)).perimeters
    assert square == pytest.approx(4 * sqrt(0.5) + 4)
    assert line == pytest.approx(4 * sqrt(0.5) + 4)
    ring = np.zeros((3, 3), np.int32)
    ring[1, 1] = -1
    assert measured(ring).perimeters[0] == pytest.approx(4 * sqrt(0.5) + 8 + 4 * sqrt(0.5))


def test_the_outline_of_a_circle_is_nearly_its_own() -> None:
    y, x = np.mgrid[-60:61, -60:61]
    found = measured(np.where(x**2 + y**2 <= 50**2, 0, -1).astype(np.int32))
    assert found.perimeters[0] == pytest.approx(2 * np.pi * 50, rel=0.07)


def test_means_leave_nan_out() -> None:
    values = np.stack([np.arange(12.0).reshape(3, 4), np.full((3, 4), np.nan)], axis=2)
    values[0, 0, 0] = np.nan
    found = part_means(values, PARTS.astype(np.int32), 2)
    assert found[:, 0].tolist() == [(1 + 4 + 5) / 3, (3 + 7 + 11) / 3]
    assert np.isnan(found[:, 1]).all()


def test_bands_add_up_to_the_whole() -> None:
    random = np.random.default_rng(0)
    parts = components(random.integers(-1, 3, (20, 12)))
    values = random.random((20, 12, 2))
    count = int(parts.max()) + 1
    sums, means = MeasureSums(count), MeanSums(count)
    for band in np.split(np.arange(20), [1, 2, 9]):
        sums.add(parts[band])
        means.add(values[band], parts[band])
    found, whole = sums.measures(), measured(parts)
    assert found.areas.tolist() == whole.areas.tolist() == np.bincount(parts[parts >= 0]).tolist()
    assert found.boxes.tolist() == whole.boxes.tolist()
    np.testing.assert_allclose(found.centres, whole.centres)
    np.testing.assert_allclose(found.perimeters, whole.perimeters)
    np.testing.assert_allclose(means.means(), part_means(values, parts, count))
