"""Superpixel scores on maps whose scores are obvious, and against slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unsegcli.core.scoring.superpixel_scores import border_scores, default_tolerance, shape_scores
from unsegcli.errors import ConfigError, DataError

few = settings(max_examples=80)
shapes = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


def squares(side: int, number: int) -> np.ndarray:
    """number x number squares of side x side pixels, numbered row by row."""
    return np.kron(np.arange(number * number).reshape(number, number), np.ones((side, side), int))


def test_perfect_superpixels() -> None:
    truth = squares(10, 3) % 4
    (scores,) = border_scores(squares(5, 6), [truth], tolerance=0)
    assert scores.boundary_recall == scores.achievable_accuracy == scores.covered == 1
    assert scores.undersegmentation == 0
    assert scores.pixels == 900
    assert 0 < scores.border_pixels < 900
    (same,) = border_scores(truth, [truth], tolerance=0)
    assert (same.boundary_recall, same.achievable_accuracy) == (1, 1)
    assert same.undersegmentation == same.undersegmentation_levinshtein == 0


def test_one_superpixel_for_all() -> None:
    truth = np.zeros((10, 10), int)
    truth[:, 6:] = 1
    truth[:, 9:] = 2
    (scores,) = border_scores(np.zeros((10, 10), int), [truth])
    assert scores.boundary_recall == 0
    assert scores.border_pixels == 20
    assert scores.achievable_accuracy == 0.6
    assert scores.undersegmentation == pytest.approx((40 + 30 + 10) / 100)
    assert scores.undersegmentation_levinshtein == pytest.approx((40 / 60 + 70 / 30 + 90 / 10) / 3)


def test_one_superpixel_a_pixel() -> None:
    truth = np.random.default_rng(0).integers(0, 3, (8, 9))
    (scores,) = border_scores(np.arange(72).reshape(8, 9), [truth], tolerance=0)
    assert (scores.boundary_recall, scores.achievable_accuracy) == (1, 1)
    assert scores.undersegmentation == scores.undersegmentation_levinshtein == 0


@pytest.mark.parametrize(("shift", "tolerance", "recall"), [(1, 0, 0), (1, 1, 1), (2, 1, 0), (2, 2, 1), (-2, 2, 1)])
def test_tolerance(shift: int, tolerance: int, recall: float) -> None:
    truth, superpixels = np.zeros((12, 20), int), np.zeros((12, 20), int)
    truth[:, 10:] = 1
    superpixels[:, 10 + shift :] = 1
    assert border_scores(superpixels, [truth], tolerance)[0].boundary_recall == recall


def test_tolerance_reaches_over_corners() -> None:
    truth, superpixels = np.zeros((9, 9), int), np.zeros((9, 9), int)
    truth[4, 4] = 1
    superpixels[6, 6] = 1  # the same border two rows and two columns off
    assert border_scores(superpixels, [truth], 1)[0].boundary_recall == 0
    assert border_scores(superpixels, [truth], 2)[0].boundary_recall == 1


def test_borders_on_both_sides_are_two_pixels_wide() -> None:
    truth, superpixels = np.zeros((12, 20), int), np.zeros((12, 20), int)
    truth[:, 10:] = truth[8:, :] = 1
    superpixels[:, 11:] = 1
    one, two = (border_scores(superpixels, [truth], 0, both_sides=both)[0] for both in (False, True))
    # Column 9 of eight rows and ten pixels of row 7, one of them the same; the superpixels' border is column 10.
    assert (one.border_pixels, one.boundary_recall) == (8 + 10 - 1, 0)
    # Columns 9 and 10 of eight rows, and ten pixels of rows 7 and 8; of them column 10 is met.
    assert (two.border_pixels, two.boundary_recall) == (16 + 20 - 1, 8 / 35)


def test_default_tolerance() -> None:
    assert default_tolerance(321, 481) == 1  # BSDS500
    assert default_tolerance(64, 64) == 1
    assert default_tolerance(3000, 4000) == 12


def test_ignored_and_uncovered_pixels_are_not_scored() -> None:
    truth = squares(4, 2)
    superpixels = truth.copy()
    superpixels[0] = 7  # cuts a row off, which is right nowhere
    truth[0] = -1
    (scores,) = border_scores(superpixels, [truth], 0)
    assert (scores.boundary_recall, scores.undersegmentation, scores.achievable_accuracy) == (1, 0, 1)
    assert scores.undersegmentation_levinshtein == 0
    assert (scores.pixels, scores.covered) == (56, 1)
    half = np.where(np.arange(8)[None, :] < 4, superpixels, -1)
    (scores,) = border_scores(half, [truth], 0)
    assert (scores.pixels, scores.covered) == (28, 0.5)
    # Where the superpixels end, the truth's border is not scored: what stays is the row between two squares.
    assert (scores.border_pixels, scores.boundary_recall) == (4, 1)
    # And their end is no border that they found.
    stripe = np.zeros((8, 8), int)
    stripe[:, 3] = -1
    (scores,) = border_scores(stripe, [np.where(np.arange(8) < 2, 0, 1) + 0 * stripe], 1)
    assert (scores.border_pixels, scores.boundary_recall) == (8, 0)
    (nothing,) = border_scores(superpixels, [np.full((8, 8), -1)])
    assert math.isnan(nothing.achievable_accuracy)
    assert math.isnan(nothing.covered)
    (uncovered,) = border_scores(np.full((8, 8), -1), [truth])
    assert uncovered.covered == 0
    assert math.isnan(uncovered.boundary_recall)


def test_truth_without_border_has_no_recall() -> None:
    (scores,) = border_scores(squares(2, 2), [np.zeros((4, 4), int)])
    assert math.isnan(scores.boundary_recall)
    assert scores.achievable_accuracy == 1
    assert scores.undersegmentation_levinshtein == 0


def slow(superpixels: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Undersegmentation errors and achievable accuracy as the sums are written."""
    scored = (superpixels >= 0) & (truth >= 0)
    parts = [scored & (superpixels == number) for number in np.unique(superpixels[scored])]
    regions = [scored & (truth == number) for number in np.unique(truth[scored])]
    cut, levinshtein = 0, []
    for region in regions:
        touching = [part for part in parts if (part & region).any()]
        cut += sum(min((part & region).sum(), (part & ~region).sum()) for part in touching)
        levinshtein.append((sum(part.sum() for part in touching) - region.sum()) / region.sum())
    best = sum(max((part & region).sum() for region in regions) for part in parts)
    return cut / scored.sum(), float(np.mean(levinshtein)), best / scored.sum()


def slow_recall(superpixels: np.ndarray, truth: np.ndarray, reach: int) -> float:
    def border(values: np.ndarray, row: int, column: int) -> bool:
        if values[row, column] < 0:
            return False
        ends = [(row, column + 1), (row + 1, column)]
        near = [values[end] for end in ends if end[0] < values.shape[0] and end[1] < values.shape[1]]
        return any(value >= 0 and value != values[row, column] for value in near)

    places = list(np.ndindex(truth.shape))
    scored = np.where(superpixels >= 0, truth, -1)
    wanted = [place for place in places if border(scored, *place)]
    found = [place for place in places if border(superpixels, *place)]
    recalled = [place for place in wanted if any(max(abs(place[0] - r), abs(place[1] - c)) <= reach for r, c in found)]
    return len(recalled) / len(wanted) if wanted else float("nan")


@few
@given(shapes, st.integers(0, 2**31), st.integers(0, 2), st.sampled_from([1, 1000, 10**9]))
def test_against_slow_definitions(shape: tuple[int, int], seed: int, reach: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    superpixels = rng.integers(-1, 5, shape)
    truth = rng.integers(-1, 3, shape)
    (scores,) = border_scores(superpixels * spread, [truth * spread], reach)
    assert scores.boundary_recall == pytest.approx(slow_recall(superpixels, truth, reach), nan_ok=True)
    if scores.pixels:
        expected = slow(superpixels, truth)
        found = scores.undersegmentation, scores.undersegmentation_levinshtein, scores.achievable_accuracy
        assert found == pytest.approx(expected)
    names = rng.permutation(5)
    (renamed,) = border_scores(np.where(superpixels < 0, -1, names[superpixels]), [truth], reach)
    for one, other in zip(vars(scores).values(), vars(renamed).values(), strict=True):
        assert one == pytest.approx(other, nan_ok=True)


def test_several_annotators_are_scored_one_by_one() -> None:
    rng = np.random.default_rng(0)
    superpixels, truths = squares(3, 5), [rng.integers(0, 3, (15, 15)) for _ in range(3)]
    together = border_scores(superpixels, truths)
    assert together == [border_scores(superpixels, [truth])[0] for truth in truths]


def test_squares_and_rectangles_are_as_compact_as_they_are() -> None:
    scores = shape_scores(squares(5, 4))
    assert scores.count == 16
    assert scores.mean_area == 25
    assert scores.compactness == pytest.approx(np.pi / 4)
    assert math.isnan(scores.explained_variation)
    bar = shape_scores(np.zeros((2, 8), int))
    assert bar.compactness == pytest.approx(4 * np.pi * 16 / 20**2)
    # By area: 12 pixels in a 3 x 4 rectangle, 4 in a 1 x 4 one; the pixels of none are their neighbours' edge.
    mixed = np.full((6, 6), -1)
    mixed[1:4, 1:5], mixed[4, 1:5] = 9, 2
    expected = (12 * 4 * np.pi * 12 / 14**2 + 4 * 4 * np.pi * 4 / 10**2) / 16
    assert shape_scores(mixed).compactness == pytest.approx(expected)
    assert shape_scores(mixed).mean_area == 8


def test_a_disc_by_pixel_edges() -> None:
    rows, columns = np.ogrid[-60:61, -60:61]
    disc = np.where(rows**2 + columns**2 <= 55.0**2, 0, -1)
    assert shape_scores(disc).compactness == pytest.approx((np.pi / 4) ** 2, rel=0.03)


def test_explained_variation() -> None:
    rng = np.random.default_rng(0)
    regions = squares(4, 3)
    flat = rng.integers(0, 255, (9, 3))[regions].astype(np.uint8)
    assert shape_scores(regions, flat).explained_variation == pytest.approx(1)
    noise = rng.normal(size=(12, 12, 3)) + 1e6
    assert shape_scores(np.zeros((12, 12), int), noise).explained_variation == pytest.approx(0, abs=1e-12)
    assert shape_scores(np.arange(144).reshape(12, 12), noise).explained_variation == pytest.approx(1)
    assert math.isnan(shape_scores(regions, np.full((12, 12, 2), 0.1)).explained_variation)
    # By hand: values 0 2 | 4 10: means 1 and 7 of mean 4, (9 + 9 + 9 + 9) / (16 + 4 + 0 + 36).
    values = np.array([[[0], [2], [4], [10], [77]]], np.uint8)
    parts = np.array([[0, 0, 1, 1, -1]])
    assert shape_scores(parts, values).explained_variation == pytest.approx(36 / 56)


def test_no_superpixel_at_all() -> None:
    scores = shape_scores(np.full((3, 3), -1), np.zeros((3, 3, 1)))
    assert scores.count == 0
    assert all(math.isnan(value) for value in (scores.mean_area, scores.compactness, scores.explained_variation))


def test_refusals() -> None:
    regions = squares(2, 2)
    with pytest.raises(DataError, match="differ in shape"):
        border_scores(regions, [regions[:2]])
    with pytest.raises(ConfigError, match="tolerance -1"):
        border_scores(regions, [regions], -1)
    with pytest.raises(DataError, match="do not fit"):
        shape_scores(regions, np.zeros((4, 4)))
    with pytest.raises(DataError, match=r"\(16,\)"):
        shape_scores(regions.ravel())
    with pytest.raises(DataError, match=r"\(16,\)"):
        border_scores(regions.ravel(), [])
