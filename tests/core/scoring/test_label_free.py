"""Signs of a run without labels: by hand, and what must hold for any label map."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unsegcli.core.scoring import label_free as judging

HALVES = np.repeat([[0, 0, 1, 1]], 4, axis=0)


def test_entropies_by_hand() -> None:
    sure_and_even = judging.entropies(np.array([0.5, 0.5]), 0.0)
    assert sure_and_even == pytest.approx((1.0, 1.0))
    assert sure_and_even.information == pytest.approx(1)
    doubtful = judging.entropies(np.array([0.5, 0.5]), math.log(2))
    assert doubtful == pytest.approx((1.0, 0.0))
    assert doubtful.information == 0, "even, but only since no pixel is sure"
    collapsed = judging.entropies(np.array([1.0, 0.0]), 0.0)
    assert collapsed.information == pytest.approx(0), "sure, but of one cluster only"
    assert judging.entropies(np.array([1.0]), 0.0) == (1.0, 1.0)


def test_entropy_of_scores_by_hand() -> None:
    scores = np.array([[0.5, 1.0], [0.5, 0.0]])
    np.testing.assert_allclose(judging.entropy(scores), [math.log(2), 0], atol=1e-6)


def test_agreement_by_hand() -> None:
    """Of 10 pixels 8 agree; by chance 0.5 * 0.5 + 0.5 * 0.5 would."""
    first, second = np.array([[0] * 5 + [1] * 5]), np.array([[0] * 4 + [1, 0] + [1] * 4])
    pairs = judging.pairs_of(first, second, 2)
    assert pairs.tolist() == [[4, 1], [1, 4]]
    assert judging.agreement(pairs) == pytest.approx(0.8)
    assert judging.agreement_beyond_chance(pairs) == pytest.approx((0.8 - 0.5) / 0.5)


def test_one_cluster_agrees_by_chance_only() -> None:
    pairs = judging.pairs_of(np.zeros((3, 3), int), np.zeros((3, 3), int), 4)
    assert judging.agreement(pairs) == 1
    assert judging.agreement_beyond_chance(pairs) == 0


def test_void_counts_nowhere() -> None:
    first, second = np.array([[0, 1, -1, 0]]), np.array([[0, 1, 0, -1]])
    assert judging.pairs_of(first, second, 2).tolist() == [[1, 0], [0, 1]]
    assert judging.pure_pixels(first, np.array([[0, 0, 0, -1]]), 2) == (1, 2)


def test_pure_pixels_by_hand() -> None:
    """Region 0 has clusters 0 0 0 1, region 1 has 1 1 0 0."""
    labels, regions = np.array([[0, 0, 0, 1, 1, 1, 0, 0]]), np.array([[0, 0, 0, 0, 1, 1, 1, 1]])
    assert judging.pure_pixels(labels, regions, 2) == (5, 8)
    assert judging.pure_pixels(labels, labels, 2) == (8, 8), "regions within clusters are pure"


def test_borders_on_edges_of_the_image() -> None:
    """One column of steps of 30 in a flat image: four of 24 pairs of neighbours."""
    pixels = (HALVES * 10).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    found = judging.edge_steps(pixels, HALVES)
    assert found == (4 * 30, 4, 4 * 30, 24)
    assert judging.edge_ratio(found) == pytest.approx(24 / 4)
    across = judging.edge_steps(pixels, HALVES.T)
    assert judging.edge_ratio(across) == 0, "borders where the image is flat"
    assert judging.edge_ratio(judging.edge_steps(pixels, np.zeros((4, 4), int))) == 1, (
        "without a border nothing is known"
    )


def test_borders_to_void_are_no_borders() -> None:
    pixels = (HALVES * 10).astype(np.uint8)[:, :, None]
    assert judging.edge_steps(pixels, np.where(HALVES == 1, -1, 0))[:2] == (0, 0)


def test_explained_by_hand() -> None:
    """Points 0 and 2 in one cluster, 10 and 12 in the other: 4 * 25 of 104 lie between."""
    points, labels = np.array([[0.0], [2], [10], [12]]), np.array([0, 0, 1, 1])
    assert judging.explained(points, labels, np.ones(4)) == pytest.approx(100 / 104)
    assert judging.explained(points, np.zeros(4, int), np.ones(4)) == pytest.approx(0)
    assert judging.explained(points, np.arange(4), np.ones(4)) == pytest.approx(1)
    assert judging.explained(np.ones((4, 2)), labels, np.ones(4)) == 0, "nothing to explain"
    doubled = judging.explained(points.repeat(2, axis=0), labels.repeat(2), np.ones(8))
    assert judging.explained(points, labels, np.full(4, 2.0)) == pytest.approx(doubled)


def test_silhouette_by_hand() -> None:
    """0 and 1 against 10 and 11: a point is 1 from its own and 10.5 or 9.5 from the others."""
    points, labels = np.array([[0.0], [1], [10], [11]]), np.array([3, 3, 5, 5])
    assert judging.silhouette(points, labels) == pytest.approx((2 * 9.5 / 10.5 + 2 * 8.5 / 9.5) / 4)
    assert judging.silhouette(points, np.zeros(4, int)) == 0
    assert judging.silhouette(points, np.arange(4)) == 0, "points alone in their cluster"
    assert judging.silhouette(points, np.array([0, 1, 0, 1])) < 0


def test_silhouette_does_not_see_scale_and_place() -> None:
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(50, 3)), random.integers(0, 3, 50)
    moved = judging.silhouette(7 * points + 2, labels)
    assert moved == pytest.approx(judging.silhouette(points, labels), abs=1e-9)


def test_stability_finds_the_run_that_is_like_the_others() -> None:
    """Two runs alike but for the numbers of their clusters, and one of its own."""
    random = np.random.default_rng(0)
    maps = [random.integers(0, 3, (12, 12)) for _ in range(4)]
    renamed = [np.array([2, 0, 1])[one] for one in maps]
    stranger = [random.integers(0, 3, (12, 12)) for _ in range(4)]
    found = judging.stability([maps, renamed, stranger], 3)
    assert found[0] == pytest.approx(found[1])
    assert found[0] > 0.45 > 0.1 > found[2]
    assert judging.stability([maps, renamed], 3) == [1, 1]
    assert math.isnan(judging.stability([maps], 3)[0])
