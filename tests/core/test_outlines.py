"""Outlines: by hand, without gaps and overlaps, and never crossing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.border_lines import simplified
from unsegcli.core.crossings import crossing_lines
from unsegcli.core.outlines import Polygon, bridged, doubled_area, polygons, polygons_by_rows
from unsegcli.core.superpixels.regions import components


def as_sets(polygon: list[np.ndarray]) -> list[set[tuple[int, int]]]:  # type: ignore[type-arg]
    return [{(int(x), int(y)) for x, y in ring} for ring in polygon]


def test_two_halves_share_the_points_of_their_border() -> None:
    found = polygons(np.array([[0, 0, 1], [0, 0, 1]]))
    assert as_sets(found[0]) == [{(0, 0), (2, 0), (2, 2), (0, 2)}]
    assert as_sets(found[1]) == [{(2, 0), (3, 0), (3, 2), (2, 2)}]
    assert [doubled_area(ring) for ring in (found[0][0], found[1][0])] == [8, 4]


def test_a_hole_comes_after_the_outer_ring_and_runs_the_other_way() -> None:
    regions = np.zeros((5, 6), np.int32)
    regions[1:3, 2:4] = 1
    around, inside = polygons(regions)
    assert as_sets(around) == [{(0, 0), (6, 0), (6, 5), (0, 5)}, {(2, 1), (4, 1), (4, 3), (2, 3)}]
    assert [doubled_area(ring) for ring in around] == [60, -8]
    assert as_sets(inside) == [as_sets(around)[1]]


def test_void_belongs_to_no_polygon() -> None:
    found = polygons(np.array([[0, -1], [-5, 1]]))
    assert as_sets(found[0]) == [{(0, 0), (1, 0), (1, 1), (0, 1)}]
    assert as_sets(found[1]) == [{(1, 1), (2, 1), (2, 2), (1, 2)}]


def test_a_ring_closed_by_a_corner_is_divided_there() -> None:
    """A 4-connected region around a pixel that it touches from outside at a corner only: ring and hole meet there."""
    regions = components(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]]))
    outer, hole = polygons(regions, 0)[0]
    assert (doubled_area(outer), doubled_area(hole)) == (16, -2)
    assert as_sets([hole]) == [{(1, 1), (2, 1), (2, 2), (1, 2)}]
    assert len(set(map(tuple, outer.tolist()))) == len(outer)


def test_a_stair_becomes_a_line_within_one_pixel_only() -> None:
    stair = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2], [3, 3]])
    peak = np.array([[0, 0], [4, 3], [8, 0]])
    tolerances = np.array([0.71, 0.70, 0, 2.9, 3])  # the corners of the stair are 0.707 away
    found = [line.tolist() for line in simplified([stair, stair, stair, peak, peak], tolerances)]
    assert found[0] == [[0, 0], [3, 3]]
    assert found[1][:2] == [[0, 0], [1, 0]]
    assert found[2:] == [stair.tolist(), peak.tolist(), [[0, 0], [8, 0]]]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    assert len(simplified([square], np.array([1.0]))[0]) == 3  # the crossing of its two halves is seen afterwards


def test_small_things_do_not_vanish() -> None:
    """One pixel, and a line of single pixels, would collapse within one pixel."""
    regions = np.zeros((7, 9), np.int32)
    regions[1, 1], regions[3, 2:8] = 1, 2
    around, pixel, line = polygons(regions)
    assert [doubled_area(ring) for ring in (pixel[0], line[0])] == [2, 12]
    assert sum(map(doubled_area, around)) == 2 * (63 - 7)


def test_simplified_areas_differ_by_a_tenth_at_most() -> None:
    """Small regions keep corners that they would lose within one pixel; large ones still become simpler."""
    regions = np.zeros((40, 40), np.int32)
    regions[2:4, 2], regions[3, 3], regions[6:11, 8], regions[8, 6:11] = 1, 1, 2, 2
    rows, columns = np.mgrid[:40, :40]
    regions[(rows - 24) ** 2 + (columns - 24) ** 2 < 150] = 3
    around, angle, plus, disc = polygons(regions)
    assert [doubled_area(polygon[0]) for polygon in (angle, plus)] == [6, 18]
    assert len(disc[0]) < len(polygons(regions, 0)[3][0]) / 2
    assert sum(doubled_area(ring) for polygon in (around, angle, plus, disc) for ring in polygon) == 2 * 1600


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([[[0, 0], [4, 4]], [[0, 4], [4, 0]]], [0, 1]),
        ([[[0, 0], [4, 0]], [[4, 0], [4, 4]]], []),
        ([[[0, 0], [4, 0]], [[2, 0], [2, 4]]], [0, 1]),
        ([[[0, 0], [4, 0]], [[0, 0], [2, 0]]], [0, 1]),
        ([[[0, 0], [4, 0]], [[0, 0], [-2, 0]]], []),
        ([[[0, 0], [4, 0]], [[4, 0], [0, 0]]], [0, 1]),
        ([[[0, 0], [90, 0], [90, 1], [50, 1], [50, -1]], [[200, 0], [200, 1]]], [0]),
        ([[[0, 0], [4, 0]], [[6, 0], [9, 0]], [[5, 5]]], []),
    ],
)
def test_what_crosses(lines: list[list[list[int]]], wrong: list[int]) -> None:
    assert crossing_lines([np.array(line) for line in lines]) == wrong


def in_bands(regions: np.ndarray, cuts: list[int], tolerance: float) -> list[Polygon]:  # type: ignore[type-arg]
    """The polygons of a map that is read in bands, each polygon once."""
    count = int(regions.max()) + 1
    last_rows = np.array([np.flatnonzero((regions == number).any(axis=1))[-1] for number in range(count)])
    found: dict[int, Polygon] = {}
    for own in polygons_by_rows(np.split(regions, cuts), last_rows, tolerance):
        assert not set(own) & set(found)
        found |= own
    return [found[number] for number in range(count)]


def as_cycles(polygon: Polygon) -> list[list[list[int]]]:
    """Rings from their leftmost point on, in order."""
    firsts = [int(np.lexsort((ring[:, 1], ring[:, 0]))[0]) for ring in polygon]
    return sorted(np.roll(ring, -first, axis=0).tolist() for ring, first in zip(polygon, firsts, strict=True))


def check_cover(found: list[Polygon], regions: np.ndarray, tolerance: float) -> None:  # type: ignore[type-arg]
    """Polygons of regions that cover an image cover it exactly, with nearly their areas, and never cross."""
    assert sum(doubled_area(ring) for polygon in found for ring in polygon) == 2 * regions.size
    for number, polygon in enumerate(found):
        assert [doubled_area(ring) > 0 for ring in polygon] == [True] + [False] * (len(polygon) - 1)
        area = int((regions == number).sum())
        assert abs(sum(map(doubled_area, polygon)) - 2 * area) <= (0.2 * area if tolerance else 0)
    rings = [np.concatenate([ring, ring[:1]]) for polygon in found for ring in polygon]
    for ring in rings:
        assert crossing_lines([ring]) == []
    segments = {tuple(sorted(map(tuple, pair))) for ring in rings for pair in itertools.pairwise(ring.tolist())}
    assert crossing_lines([np.array(pair) for pair in sorted(segments)]) == []


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    classes=st.integers(1, 4),
    tolerance=st.sampled_from([0.0, 0.6, 1.0]),
    seed=st.integers(0, 999),
    cuts=st.sets(st.integers(1, 13), max_size=3),
)
def test_polygons_cover_the_image_exactly(
    shape: tuple[int, int], classes: int, tolerance: float, seed: int, cuts: set[int]
) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(-1, classes, ((shape[0] + 1) // 2, (shape[1] + 1) // 2))
    values = coarse.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    flips = random.random(shape) < 0.1
    values[flips] = random.integers(-1, classes, int(flips.sum()))
    regions = components(np.where(values < 0, classes, values))  # void too, so that all of the image is covered
    rows = sorted(cut for cut in cuts if cut < shape[0])
    check_cover(polygons(regions, tolerance), regions, tolerance)
    check_cover(in_bands(regions, rows, tolerance), regions, tolerance)
    with_void = components(values)
    if with_void.max() >= 0:
        whole = [as_cycles(polygon) for polygon in polygons(with_void, 0)]
        assert [as_cycles(polygon) for polygon in in_bands(with_void, rows, 0)] == whole


def test_a_bump_on_the_row_where_bands_meet_is_kept() -> None:
    """Within one pixel it would lie on the border of the part below, which belongs to the next band."""
    regions = np.zeros((8, 12), np.int32)
    regions[:6, :5], regions[5, 8:11], regions[6:] = 1, 1, 1
    regions[6:, 9] = 2
    found = in_bands(regions, [6], 1.0)
    check_cover(found, regions, 1.0)
    assert {(8, 5), (11, 5), (9, 6), (10, 6)} < as_sets(found[1])[0]


def test_a_straight_border_has_no_point_where_bands_meet() -> None:
    regions = np.zeros((6, 4), np.int32)
    regions[:, 2:] = 1
    assert as_cycles(in_bands(regions, [1, 3, 5], 1.0)[0]) == [[[0, 0], [2, 0], [2, 6], [0, 6]]]


def test_holes_are_joined_to_the_outer_ring() -> None:
    regions = np.zeros((9, 9), np.int32)
    regions[2:4, 2:4], regions[6, 5:8] = 1, 2
    ring = bridged(polygons(regions, 0)[0])
    assert doubled_area(ring) == 2 * (81 - 7)
    assert len(ring) == 4 + 2 * (4 + 2)
