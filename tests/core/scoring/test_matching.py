"""Matchings against every permutation, and what happens to clusters without a class."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unsegcli.core.scoring.confusion import confusion
from unsegcli.core.scoring.matching import assigned, many_to_one, one_to_one
from unsegcli.core.scoring.scores import accuracy, mean_iou
from unsegcli.errors import ConfigError, DataError

few = settings(max_examples=80)
matrices = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 6) | st.integers(0, 10**12)
)


def worth(matrix: np.ndarray, by: str) -> np.ndarray:
    if by == "count":
        return matrix.astype(float)
    union = matrix.sum(1, keepdims=True) + matrix.sum(0, keepdims=True) - matrix
    return np.where(union > 0, matrix / np.where(union > 0, union, 1), 0.0)


def best_by_trying(gain: np.ndarray) -> float:
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows = range(gain.shape[0])
    return max(sum(gain[row, given[row]] for row in rows) for given in permutations(range(gain.shape[1]), len(rows)))


@few
@given(matrices, st.sampled_from(["count", "iou"]))
def test_one_to_one_is_the_best_of_all(matrix: np.ndarray, by: str) -> None:
    assignment = one_to_one(matrix, by)
    gain = worth(matrix, by)
    matched = np.flatnonzero(assignment >= 0)
    assert matched.size == min(matrix.shape) == np.unique(assignment[matched]).size
    assert gain[matched, assignment[matched]].sum() == pytest.approx(best_by_trying(gain), rel=1e-12)


@few
@given(matrices)
def test_never_below_the_identity_and_below_many_to_one(matrix: np.ndarray) -> None:
    total = np.diagonal(assigned(matrix, one_to_one(matrix))).sum()
    assert total >= np.diagonal(matrix).sum()
    assert np.diagonal(assigned(matrix, many_to_one(matrix))).sum() == matrix.max(axis=1).sum() >= total


@few
@given(matrices, st.sampled_from(["count", "iou"]), st.randoms(use_true_random=False))
def test_renaming_clusters_changes_nothing(matrix: np.ndarray, by: str, random: object) -> None:
    order = np.random.default_rng(random.randint(0, 2**31)).permutation(matrix.shape[0])  # type: ignore[attr-defined]
    gain = worth(matrix, by)
    renamed_back = one_to_one(matrix[order], by)[np.argsort(order)]
    before, after = (gain[given >= 0, given[given >= 0]].sum() for given in (one_to_one(matrix, by), renamed_back))
    assert before == pytest.approx(after, rel=1e-12)
    np.testing.assert_array_equal(many_to_one(matrix, by)[order], many_to_one(matrix[order], by))


def test_by_hand() -> None:
    matrix = np.array([[5, 4, 0], [4, 0, 0], [0, 0, 0], [1, 0, 2]])
    np.testing.assert_array_equal(one_to_one(matrix), [1, 0, -1, 2])
    np.testing.assert_array_equal(many_to_one(matrix), [0, 0, -1, 2])


def test_count_and_iou_differ() -> None:
    # Count: 60 + 0 against 39 + 20. IoU: 60/119 + 0 = .50 against 39/99 + 20/80 = .64.
    matrix = np.array([[60, 39], [20, 0]])
    assert one_to_one(matrix, "count").tolist() == [0, 1]
    assert one_to_one(matrix, "iou").tolist() == [1, 0]
    # .571 + 0 against .36 + .158; by shared / sum of sizes (half of Dice) it would be the other way round.
    assert one_to_one(np.array([[16, 9], [3, 0]]), "iou").tolist() == [0, 1]
    many = np.array([[50, 10], [100, 0]])
    assert many_to_one(many, "count").tolist() == [0, 0]
    assert many_to_one(np.array([[50, 40], [1000, 0]]), "iou").tolist() == [1, 0]


def test_pixels_in_no_cluster_count_in_the_union() -> None:
    matrix = np.array([[10, 9]])
    assert one_to_one(matrix, "iou").tolist() == [0]
    assert one_to_one(matrix, "iou", unclustered=np.array([1000, 0])).tolist() == [1]
    assert many_to_one(matrix, "iou", unclustered=np.array([1000, 0])).tolist() == [1]


def test_pairs_that_share_nothing_are_made_in_order() -> None:
    assert one_to_one(np.zeros((2, 3), np.int64)).tolist() == [0, 1]
    assert one_to_one(np.zeros((3, 2), np.int64)).tolist() == [0, 1, -1]
    assert one_to_one(np.array([[0, 0, 0], [0, 7, 0], [0, 0, 0]])).tolist() == [0, 1, 2]
    assert one_to_one(np.array([[0, 0, 7], [0, 0, 0], [0, 0, 0], [0, 0, 0]])).tolist() == [2, 0, 1, -1]
    assert many_to_one(np.array([[3, 3], [0, 0]])).tolist() == [0, -1]


def test_assigned_keeps_every_pixel() -> None:
    matrix = np.array([[5, 1], [0, 4], [2, 3], [1, 1]])  # the last row: in no cluster
    together = assigned(matrix, np.array([0, 1, -1]))
    np.testing.assert_array_equal(together, [[5, 1], [0, 4], [3, 4]])
    np.testing.assert_array_equal(assigned(matrix[:3], np.array([1, 1, 0])), [[2, 3], [5, 5], [0, 0]])
    assert together.sum() == matrix.sum()


def test_dropping_unmatched_clusters_raises_the_score() -> None:
    # Trap: 32 clusters for 27 classes; some codes keep the pixels of matched clusters alone.
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(27), 400).reshape(108, 100)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 27, truth.shape))
    predicted = np.where(rng.random(truth.shape) < 0.1, rng.integers(27, 32, truth.shape), predicted)
    matrix = confusion(predicted, truth, 32, 27)
    together = assigned(matrix, one_to_one(matrix[:-1]))
    kept = together[:-1]
    assert accuracy(kept) > accuracy(together) + 0.03
    assert mean_iou(kept) > mean_iou(together) + 0.02
    assert accuracy(together) == np.diagonal(together).sum() / truth.size


def test_matching_each_image_by_itself_forgives_everything() -> None:
    # Trap: perfect regions, but their numbers shuffled in each image: no semantics at all.
    rng = np.random.default_rng(0)
    total = np.zeros((27, 27), np.int64)
    for _ in range(60):
        truth = np.repeat(np.arange(27), 27).reshape(27, 27)
        matrix = confusion(rng.permutation(27)[truth], truth, 27, 27)[:-1]
        assert accuracy(assigned(matrix, one_to_one(matrix))) == 1
        total += matrix
    assert accuracy(assigned(total, one_to_one(total))) < 0.15


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="'dice'"):
        one_to_one(np.ones((2, 2), np.int64), "dice")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"\(2,\)"):
        many_to_one(np.ones(2, np.int64))
    with pytest.raises(DataError, match="2 clusters are assigned"):
        assigned(np.ones((5, 2), np.int64), np.array([0, 1]))
    with pytest.raises(DataError, match="class 2"):
        assigned(np.ones((2, 2), np.int64), np.array([0, 2]))
