"""Scores worked by hand, against scikit-learn's figures and slow definitions, and the bootstrap over images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unsegcli.core.scoring.matching import assigned, one_to_one
from unsegcli.core.scoring.scores import (
    Bootstrap,
    accuracy,
    adjusted_rand_index,
    chance,
    class_scores,
    largest_cluster,
    live_clusters,
    mean_iou,
    middle,
    normalised_mutual_information,
    replicates_within,
    scored_classes,
)
from unsegcli.errors import ConfigError, DataError


def interval(matrices: Iterable[np.ndarray], score: Callable[[np.ndarray], float]) -> tuple[float, float]:
    return middle(np.array([score(matrix) for matrix in matrices]))


few = settings(max_examples=60)
matrices = arrays.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 4))

# Three classes; class 2 is never true but predicted, and 4 pixels are in no class.
BY_HAND = np.array([[6, 2, 0], [1, 5, 0], [2, 0, 0], [1, 3, 0]])


def test_by_hand() -> None:
    assert accuracy(BY_HAND) == 11 / 20
    scores = class_scores(BY_HAND)
    np.testing.assert_allclose(scores.iou, [6 / 12, 5 / 11, 0])
    np.testing.assert_allclose(scores.precision, [6 / 8, 5 / 6, 0])
    np.testing.assert_allclose(scores.recall, [6 / 10, 5 / 10, np.nan])
    assert scores.true.tolist() == [10, 10, 0]
    assert scores.predicted.tolist() == [8, 6, 2]


def test_mean_iou_says_over_which_classes() -> None:
    iou = 6 / 12 + 5 / 11
    assert mean_iou(BY_HAND) == pytest.approx(iou / 2)
    assert mean_iou(BY_HAND, "either") == pytest.approx(iou / 3)
    wider = np.pad(BY_HAND[:3], ((0, 2), (0, 1)))
    wider[4, :3] = BY_HAND[3]
    assert mean_iou(wider, "truth") == pytest.approx(iou / 2)
    assert mean_iou(wider, "either") == pytest.approx(iou / 3)
    assert mean_iou(wider, "all") == pytest.approx(iou / 4)
    assert scored_classes(wider, "either").tolist() == [True, True, True, False]
    with pytest.raises(ConfigError, match="'present'"):
        mean_iou(wider, "present")  # type: ignore[arg-type]


def test_mean_over_the_data_set_is_not_the_mean_over_images() -> None:
    # Trap: one large class that is right everywhere, and in each image a speck of one rare class that is wrong
    # in most of them.
    images = []
    for number in range(20):
        matrix = np.zeros((6, 5), np.int64)
        rare = 1 + number % 4
        matrix[0, 0] = 1000
        matrix[rare if number < 4 else 0, rare] = 100 if number < 4 else 1
        images.append(matrix)
    of_all = mean_iou(np.sum(images, axis=0))
    of_each = float(np.mean([mean_iou(matrix) for matrix in images]))
    assert of_all > 0.95
    assert of_each < 0.65


def test_nothing_to_score_is_not_a_number() -> None:
    nothing = np.zeros((4, 3), np.int64)
    for value in (
        accuracy(nothing),
        mean_iou(nothing),
        mean_iou(nothing, "either"),
        normalised_mutual_information(nothing),
        adjusted_rand_index(nothing),
        largest_cluster(nothing),
        *chance(nothing),
        *class_scores(nothing).iou,
    ):
        assert math.isnan(value)
    assert mean_iou(nothing, "all") == 0
    assert live_clusters(nothing) == 0
    with pytest.raises(DataError, match=r"\(5, 3\)"):
        accuracy(np.zeros((5, 3), np.int64))


# Computed with scikit-learn 1.9.1 (normalized_mutual_info_score and adjusted_rand_score).
GOLDEN = [
    ([[5, 1, 0], [2, 7, 3], [0, 1, 6]], 0.3811356460508393, 0.2789921068609593),
    ([[10, 0], [3, 4], [0, 5], [1, 1]], 0.4359339416514448, 0.3800866715991967),
    ([[4, 4], [4, 4]], 0.0, -0.07142857142857142),
    ([[0, 9, 1], [6, 0, 2]], 0.6840409383590709, 0.6952455183164459),
    ([[7]], 1.0, 1.0),
    ([[7, 3]], 0.0, 0.0),
    ([[0, 7], [3, 0]], 1.0, 1.0),
]


@pytest.mark.parametrize(("counts", "information", "rand"), GOLDEN)
def test_clustering_scores_as_scikit_learn_has_them(counts: list[list[int]], information: float, rand: float) -> None:
    matrix = np.array(counts)
    assert normalised_mutual_information(matrix) == pytest.approx(information, abs=1e-12)
    assert adjusted_rand_index(matrix) == pytest.approx(rand, abs=1e-12)


@few
@given(matrices)
def test_clustering_scores_from_their_definitions(matrix: np.ndarray) -> None:
    if matrix.sum() < 2:
        return
    rows, columns = np.nonzero(matrix)
    cluster, kind = (np.repeat(axis, matrix[rows, columns]) for axis in (rows, columns))
    same = [(cluster[i] == cluster[j], kind[i] == kind[j]) for i, j in combinations(range(cluster.size), 2)]
    both, one, other = sum(a and b for a, b in same), sum(a for a, _ in same), sum(b for _, b in same)
    expected = one * other / len(same)
    most = (one + other) / 2
    rand = 1.0 if most == expected else (both - expected) / (most - expected)
    assert adjusted_rand_index(matrix) == pytest.approx(rand, abs=1e-12)
    entropies = [-sum(p * math.log(p) for p in np.bincount(x) / x.size if p) for x in (cluster, kind)]
    shares = matrix[rows, columns] / cluster.size
    joint = -float((shares * np.log(shares)).sum())
    mutual = sum(entropies) - joint
    expected = mutual / (sum(entropies) / 2) if sum(entropies) else 1.0
    assert normalised_mutual_information(matrix) == pytest.approx(expected, abs=1e-9)


def test_clustering_scores_beside_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    cluster, kind = rng.integers(0, 9, 5000), rng.integers(0, 5, 5000)
    cluster[:2000] = kind[:2000]
    matrix = np.zeros((9, 5), np.int64)
    np.add.at(matrix, (cluster, kind), 1)
    information = metrics.normalized_mutual_info_score(kind, cluster)
    assert normalised_mutual_information(matrix) == pytest.approx(information, abs=1e-12)
    assert adjusted_rand_index(matrix) == pytest.approx(metrics.adjusted_rand_score(kind, cluster), abs=1e-12)


def test_a_million_million_pixels() -> None:
    small = np.array([[5, 1, 0], [2, 7, 3], [0, 1, 6]])
    large = small * (10**12 // 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert normalised_mutual_information(large) == pytest.approx(normalised_mutual_information(small), abs=1e-12)
        # In the limit of many pixels the pairs become squares.
        squares, rows, columns = (float((x**2).sum()) for x in (small, small.sum(0), small.sum(1)))
        by_chance = rows * columns / small.sum() ** 2
        assert adjusted_rand_index(large) == pytest.approx((squares - by_chance) / ((rows + columns) / 2 - by_chance))
        assert accuracy(np.pad(large, ((0, 1), (0, 0)))) == pytest.approx(18 / 25)
    assert adjusted_rand_index(np.diag([10**12, 10**12])) == 1
    assert adjusted_rand_index(np.array([[10**12, 0], [0, 10**12], [0, 1]])) < 1


@few
@given(matrices, st.integers(0, 2**31))
def test_renaming_and_splitting_rows(matrix: np.ndarray, seed: int) -> None:
    if not matrix.any():
        return
    order = np.random.default_rng(seed).permutation(len(matrix))
    for score in (normalised_mutual_information, adjusted_rand_index, largest_cluster, live_clusters):
        assert score(matrix) == pytest.approx(score(matrix[order]), abs=1e-12)
        assert score(matrix) == pytest.approx(score(np.pad(matrix, ((1, 1), (0, 0)))), abs=1e-12)


def test_live_and_largest_cluster() -> None:
    matrix = np.array([[1, 1], [0, 0], [5, 3]])
    assert live_clusters(matrix) == 2
    assert largest_cluster(matrix) == 0.8


def test_chance() -> None:
    assigned_ = np.array([[30, 10, 0], [20, 10, 0], [0, 0, 0], [10, 20, 0]])
    by_chance = chance(assigned_)
    assert by_chance.largest_class == 0.6
    assert by_chance.constant_miou == pytest.approx(0.6 / 2)
    assert by_chance.uniform_accuracy == 1 / 3
    assert by_chance.shuffled_accuracy == pytest.approx(0.6 * 0.4 + 0.4 * 0.3)
    assert chance(assigned_, "all").constant_miou == pytest.approx(0.6 / 3)
    assert chance(assigned_, "either").uniform_miou < by_chance.uniform_miou


def test_chance_against_predictions_drawn_at_random() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(4, 400_000, p=[0.5, 0.3, 0.2, 0])
    matrix = np.zeros((5, 4), np.int64)
    np.add.at(matrix, (rng.integers(0, 4, truth.size), truth), 1)
    by_chance = chance(matrix)
    assert accuracy(matrix) == pytest.approx(by_chance.uniform_accuracy, abs=0.005)
    assert mean_iou(matrix) == pytest.approx(by_chance.uniform_miou, abs=0.005)
    assert accuracy(matrix) == pytest.approx(by_chance.shuffled_accuracy, abs=0.005)
    for over in ("either", "all"):
        assert mean_iou(matrix, over) == pytest.approx(chance(matrix, over).uniform_miou, abs=0.005)


def images(number: int, rows: int = 4, classes: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 50, (rows, classes)) for _ in range(number)]


def test_bootstrap_is_the_weighted_sum() -> None:
    bootstrap = Bootstrap(4, 3, replicates=50, seed=7)
    given_ = images(300)  # more than wait at a time
    expected = np.zeros((50, 4, 3), np.int64)
    for index, matrix in enumerate(given_):
        bootstrap.add(index, matrix)
        weights = np.random.default_rng([7, index]).poisson(1, 50)
        expected += weights[:, None, None] * matrix
    np.testing.assert_array_equal(bootstrap.matrices, expected)
    assert bootstrap.matrices.dtype == np.int64


def test_bootstrap_in_any_order_and_in_parts() -> None:
    given_ = images(20)
    whole, one, other = (Bootstrap(4, 3, replicates=60) for _ in range(3))
    for index, matrix in enumerate(given_):
        whole.add(index, matrix)
    for index in range(19, -1, -1):
        (one if index % 3 else other).add(index, given_[index])
    one.merge(other)
    np.testing.assert_array_equal(one.matrices, whole.matrices)
    with pytest.raises(DataError, match="cannot be merged"):
        one.merge(Bootstrap(4, 3, replicates=60, seed=1))
    with pytest.raises(DataError, match=r"\(3, 3\) of image 5"):
        one.add(5, np.zeros((3, 3), np.int64))


def test_bootstrap_stays_exact_and_within_its_memory() -> None:
    bootstrap = Bootstrap(2, 1, replicates=40)
    for index in range(3):
        bootstrap.add(index, np.array([[10**14 + 1], [1]]))
    draws = bootstrap.matrices[:, 1, 0]
    np.testing.assert_array_equal(bootstrap.matrices[:, 0, 0], draws * (10**14 + 1))
    assert replicates_within(28, 27, 1000) == 1000
    assert replicates_within(501, 171, 1000) == 391
    assert replicates_within(5001, 1000, 1000) == 0
    assert replicates_within(2, 2, 10) == 10
    huge = Bootstrap(5001, 1000)
    huge.add(0, np.zeros((5001, 1000), np.int64))
    assert huge.replicates == 0
    assert huge.matrices.shape == (0, 5001, 1000)
    assert all(math.isnan(end) for end in interval(huge.matrices, accuracy))


def test_interval_covers_as_often_as_it_says() -> None:
    # 200 data sets of 60 images: the accuracy of an image is drawn around 0.7.
    rng = np.random.default_rng(0)
    inside = 0
    for repeat in range(200):
        bootstrap = Bootstrap(2, 2, replicates=200, seed=repeat)
        for index in range(60):
            right = round(1000 * np.clip(rng.normal(0.7, 0.1), 0, 1))
            bootstrap.add(index, np.array([[right, 0], [1000 - right, 0]]))
        low, high = interval(bootstrap.matrices, accuracy)
        inside += low <= 0.7 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_interval_matches_anew_in_each_replicate() -> None:
    # Two images with the two numbers exchanged: whichever weighs more decides the matching.
    bootstrap = Bootstrap(2, 2, replicates=100)
    bootstrap.add(0, np.array([[50, 0], [0, 50]]))
    bootstrap.add(1, np.array([[0, 50], [50, 0]]))

    def matched(matrix: np.ndarray) -> float:
        return accuracy(assigned(matrix, one_to_one(matrix)))

    assert interval(bootstrap.matrices, matched)[0] >= 0.5
    assert interval(bootstrap.matrices, accuracy)[0] < 0.2


def test_middle_by_hand() -> None:
    assert middle(np.append(np.arange(101) / 100, np.nan), 0.9) == pytest.approx((0.05, 0.95))
    assert all(math.isnan(end) for end in middle(np.array([np.nan])))
    with pytest.raises(ConfigError, match="level 95"):
        middle(np.zeros(3), level=95)
