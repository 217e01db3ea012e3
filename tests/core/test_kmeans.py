"""K-means by hand, as properties, and beside scipy's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.cluster.vq import kmeans2

from unsegcli.core.kmeans import PATIENCE, KMeans, assign, kmeans, mini_batch_kmeans, two_nearest, unit_rows
from unsegcli.errors import ConfigError, DataError

few = settings(max_examples=60)
coordinates = st.integers(-20, 20).map(lambda number: number / 4)
point_sets = arrays.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=coordinates)


def fit(points: np.ndarray, clusters: int, **more: object) -> KMeans:
    settings_of_run = {"seed": 0, "starts": 3, "iterations": 100, **more}
    return kmeans(points, clusters, **settings_of_run)  # type: ignore[arg-type]


def blobs(seed: int, sizes: tuple[int, ...], dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Well separated groups of points, and the group of each."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    corners = 20.0 * np.array([[(group >> axis) & 1 for axis in range(dimensions)] for group in range(len(sizes))])
    return corners[groups] + generator.normal(size=(len(groups), dimensions)), groups


def test_two_clusters_on_a_line_by_hand() -> None:
    # {0, 1, 2} around 1 and {10, 12} around 11: inertia 1 + 0 + 1 + 1 + 1 = 4.
    found = fit(np.array([[12.0], [0.0], [10.0], [2.0], [1.0]]), 2)
    np.testing.assert_array_equal(found.centres, [[1.0], [11.0]])
    np.testing.assert_array_equal(found.weights, [3.0, 2.0])
    assert found.inertia == 4.0
    assert len(found.inertias) == 3
    assert min(found.inertias) == found.inertia


def test_weights_by_hand() -> None:
    # The mean of 0 (weight 3) and 4 (weight 1) is 1: inertia 3 * 1 + 1 * 9 = 12; 100 stands alone.
    found = fit(np.array([[0.0], [4.0], [100.0]]), 2, weights=np.array([3.0, 1.0, 2.0]))
    np.testing.assert_array_equal(found.centres, [[1.0], [100.0]])
    np.testing.assert_array_equal(found.weights, [4.0, 2.0])
    assert found.inertia == 12.0


def test_directions_by_hand() -> None:
    # Directions (1, 0) twice, (.6, .8) and (0, -1) twice. The mean of the first three points, of length one each, is
    # (2.6, .8) / 3, so their centre is (13, 4) / sqrt(185); cosines 13/c, 13/c and (7.8 + 3.2)/c with c = sqrt(185).
    points = np.array([[2.0, 0.0], [0.5, 0.0], [3.0, 4.0], [0.0, -1.0], [0.0, -8.0]])
    found = fit(points, 2, spherical=True)
    root = np.sqrt(185)
    np.testing.assert_allclose(found.centres, [[13 / root, 4 / root], [0, -1]], atol=1e-15)
    np.testing.assert_array_equal(found.weights, [3.0, 2.0])
    assert found.inertia == pytest.approx(2 * (3 - 37 / root))


@few
@given(point_sets, st.integers(1, 6), st.integers(0, 100))
def test_directions_do_not_depend_on_lengths(points: np.ndarray, clusters: int, seed: int) -> None:
    lengths = 2.0 ** np.random.default_rng(seed).integers(-30, 30, (len(points), 1))  # exact factors
    one, other = (fit(some, clusters, spherical=True) for some in (points, points * lengths))
    np.testing.assert_array_equal(one.centres, other.centres)
    np.testing.assert_array_equal(one.weights, other.weights)
    lengths_of_centres = np.sqrt((one.centres**2).sum(axis=1))
    assert ((abs(lengths_of_centres - 1) < 1e-12) | (lengths_of_centres == 0)).all()
    by_cosine = (unit_rows(points) @ one.centres.T).max(axis=1)
    found = (unit_rows(points) * one.centres[assign(unit_rows(points), one.centres)]).sum(axis=1)
    if lengths_of_centres.all():
        np.testing.assert_allclose(found, by_cosine, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dimensions", [2, 3, 6])
def test_blobs_are_found_and_numbered_by_weight(seed: int, dimensions: int) -> None:
    points, groups = blobs(seed, (30, 90, 60, 45), dimensions)
    found = fit(points, 4)
    by_size = np.array([3, 0, 1, 2])  # 90, 60, 45, 30 points
    np.testing.assert_array_equal(assign(points, found.centres), by_size[groups])
    np.testing.assert_array_equal(found.weights, [90, 60, 45, 30])
    _, theirs = kmeans2(points, found.centres, minit="matrix", iter=20)
    np.testing.assert_array_equal(theirs, by_size[groups])


@pytest.mark.parametrize("seed", range(5))
def test_inertia_is_not_worse_than_that_of_scipy(seed: int) -> None:
    points, _ = blobs(seed, (50, 20, 80, 30, 60, 40), 3)
    centres, nearest = kmeans2(points, 6, minit="++", rng=seed, iter=50)
    assert fit(points, 6).inertia <= ((points - centres[nearest]) ** 2).sum() * (1 + 1e-9)


@few
@given(point_sets, st.integers(1, 9), st.integers(0, 100))
def test_the_result_is_a_fixed_point_of_lloyd(points: np.ndarray, clusters: int, seed: int) -> None:
    found = fit(points, clusters, seed=seed)
    assert found.centres.shape == (clusters, points.shape[1])
    assert np.isfinite(found.centres).all()
    nearest = assign(points, found.centres)
    inertia = 0.0
    for cluster in range(clusters):
        members = points[nearest == cluster]
        if len(members):
            np.testing.assert_allclose(members.mean(axis=0), found.centres[cluster], atol=1e-9)
            inertia += ((members - found.centres[cluster]) ** 2).sum()
    assert found.inertia == pytest.approx(inertia, abs=1e-9)
    assert (np.diff(found.weights) <= 0).all()
    assert found.weights.sum() == len(points)
    distinct = len(np.unique(points, axis=0))
    assert (found.weights > 0).sum() == min(clusters, distinct)  # none is empty while points are left
    if distinct <= clusters:
        assert found.inertia == pytest.approx(0.0, abs=1e-12)


@few
@given(point_sets, st.integers(1, 5), st.data())
def test_weights_are_repetitions(points: np.ndarray, clusters: int, data: st.DataObject) -> None:
    """A run from the same centres: one cluster has no choice, and a weight of zero is no point."""
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(points), max_size=len(points))))
    if not weights.any():
        return
    repeated = np.repeat(points, weights, axis=0)
    by_weight, by_repetition = fit(points, 1, weights=weights), fit(repeated, 1)
    np.testing.assert_allclose(by_weight.centres, by_repetition.centres, atol=1e-9)
    assert by_weight.inertia == pytest.approx(by_repetition.inertia, abs=1e-9)
    many = fit(points, clusters, weights=weights)
    np.testing.assert_array_equal(many.weights, np.bincount(assign(repeated, many.centres), minlength=clusters))


def test_weights_are_repetitions_for_blobs() -> None:
    points, _ = blobs(1, (20, 30, 40), 2)
    weights = np.random.default_rng(0).integers(1, 4, len(points))
    by_weight = fit(points, 3, weights=weights)
    by_repetition = fit(np.repeat(points, weights, axis=0), 3)
    np.testing.assert_allclose(by_weight.centres, by_repetition.centres)
    np.testing.assert_array_equal(by_weight.weights, by_repetition.weights)


def test_the_order_of_the_points_does_not_matter_for_blobs() -> None:
    points, _ = blobs(2, (20, 30, 40), 2)
    shuffled = np.random.default_rng(0).permutation(points)
    np.testing.assert_allclose(fit(shuffled, 3).centres, fit(points, 3).centres)


def test_same_seed_same_bits_and_other_seed_other_start() -> None:
    points = np.random.default_rng(0).random((500, 3))
    one, other = fit(points, 7), fit(points, 7)
    np.testing.assert_array_equal(one.centres, other.centres)
    assert one.inertias == other.inertias
    assert one.inertias != fit(points, 7, seed=1).inertias
    assert fit(points, 7, starts=1).inertias == one.inertias[:1]


def test_more_iterations_never_raise_the_inertia() -> None:
    points = np.random.default_rng(3).random((800, 2))
    inertias = [fit(points, 9, starts=1, iterations=count).inertia for count in (1, 2, 4, 8, 100)]
    assert inertias == sorted(inertias, reverse=True)
    assert fit(points, 9, starts=1, iterations=1).iterations == 1


@few
@given(point_sets, st.integers(1, 6), st.integers(1, 40))
def test_assignment_is_the_nearest_centre_whatever_the_block(points: np.ndarray, clusters: int, block: int) -> None:
    centres = np.random.default_rng(clusters).integers(-20, 20, (clusters, points.shape[1])) / 4
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=2)  # exact: quarters of small integers
    np.testing.assert_array_equal(assign(points, centres, block), squared.argmin(axis=1))


def test_blocks_do_not_change_a_bit_of_close_calls() -> None:
    points = np.random.default_rng(0).random((5000, 5)).astype(np.float32)
    centres = np.full((4, 5), 0.5) + np.random.default_rng(1).normal(size=(4, 5)) * 1e-16
    expected = assign(points, centres)
    for block in (1, 7, 64, 4999):
        np.testing.assert_array_equal(assign(points, centres, block), expected)


def test_ties_go_to_the_lowest_number() -> None:
    centres = np.array([[1.0], [-1.0], [1.0]])
    np.testing.assert_array_equal(assign(np.array([[0.0], [1.0], [-2.0]]), centres), [0, 0, 1])
    assert assign(np.zeros((0, 1)), centres).shape == (0,)


def test_empty_clusters_move_to_the_farthest_points(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both far centres are empty at first; they move to 10 (distance 10 from 0) and then to 1.
    monkeypatch.setattr("unsegcli.core.kmeans._spread", lambda *_: np.array([[0.0], [100.0], [200.0]]))
    found = fit(np.array([[0.0], [1.0], [10.0], [0.0]]), 3)
    np.testing.assert_array_equal(found.centres, [[0.0], [1.0], [10.0]])
    np.testing.assert_array_equal(found.weights, [2.0, 1.0, 1.0])


def test_all_points_equal() -> None:
    found = fit(np.full((6, 2), 3.5), 4)
    np.testing.assert_array_equal(found.centres, np.full((4, 2), 3.5))
    np.testing.assert_array_equal(found.weights, [6, 0, 0, 0])
    assert found.inertia == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_are_not_finite_are_refused(bad: float) -> None:
    points = np.array([[0.0, 1.0], [bad, 2.0]])
    with pytest.raises(DataError, match="not finite"):
        fit(points, 1)
    with pytest.raises(DataError, match="not finite"):
        assign(points, np.zeros((1, 2)))


def test_nonsense_is_refused() -> None:
    points = np.zeros((3, 2))
    for wrong in ({"clusters": 0}, {"starts": 0}, {"iterations": 0}):
        with pytest.raises(ConfigError, match="at least one"):
            fit(points, **{"clusters": 2, **wrong})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no points"):
        fit(np.zeros((0, 2)), 2)
    with pytest.raises(DataError, match="no points"):
        fit(points, 2, weights=np.zeros(3))
    for weights in ([1.0, 1.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0]):
        with pytest.raises(DataError, match="weight"):
            fit(points, 2, weights=np.array(weights))
    with pytest.raises(DataError, match=r"not an array \(3,\)"):
        fit(np.zeros(3), 2)
    with pytest.raises(DataError, match="differ in dimensions"):
        assign(points, np.zeros((2, 3)))


def test_kmeans_and_geometry_need_numpy_only() -> None:
    code = (
        "import sys, unsegcli.core.kmeans, unsegcli.core.geometry; "
        "print(sorted(set(sys.modules) & {'scipy', 'skimage', 'h5py', 'PIL', 'typer'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- mini-batches


def in_batches(points: np.ndarray, clusters: int, **more: int) -> KMeans:
    return mini_batch_kmeans(points, clusters, **{"seed": 0, "starts": 3, "iterations": 100, "batch": 20, **more})


def test_one_centre_is_the_mean_of_all_points_drawn() -> None:
    points = np.arange(10.0)[:, None] ** 2
    found = in_batches(points, 1, batch=4, iterations=1)
    drawn = np.random.default_rng((0, 3))
    wanted = np.concatenate(
        [points[drawn.integers(10, size=4)] for _ in range(3)]
    ).mean()  # 10 points: three steps of 4
    assert found.iterations == 3
    assert found.centres[0, 0] == pytest.approx(wanted)
    assert found.inertia == pytest.approx(((points - wanted) ** 2).sum())
    assert found.inertias == (found.inertia,)


def test_centres_by_hand_whatever_is_drawn() -> None:
    """Five points each at 0 and at 10: wherever the sample falls, the means are these two."""
    points = np.repeat([[0.0], [10.0]], [5, 4], axis=0)
    found = in_batches(points, 2, batch=5)
    np.testing.assert_array_equal(found.centres, [[0.0], [10.0]])
    np.testing.assert_array_equal(found.weights, [5.0, 4.0])
    assert found.iterations == PATIENCE + 1, "the first step is the best, and ten more are no better"


@pytest.mark.parametrize("seed", range(5))
def test_mini_batches_find_blobs_and_come_near_the_full_algorithm(seed: int) -> None:
    points, groups = blobs(seed, (30, 90, 60, 45), 3)
    found = in_batches(points, 4, seed=seed, batch=50)
    np.testing.assert_array_equal(assign(points, found.centres), np.array([3, 0, 1, 2])[groups])
    best = fit(points, 4).inertia
    assert best < found.inertia < 1.1 * best


def test_mini_batches_are_the_same_for_the_same_seed_only() -> None:
    points, _ = blobs(0, (30, 90, 60, 45), 3)
    first = in_batches(points, 6)
    assert in_batches(points, 6).centres.tobytes() == first.centres.tobytes()
    assert in_batches(points, 6, seed=1).centres.tobytes() != first.centres.tobytes()
    whole = in_batches(points, 6, batch=len(points))
    assert in_batches(points, 6, batch=10**6).centres.tobytes() == whole.centres.tobytes(), "at most all points"


def test_fewer_points_than_clusters_in_mini_batches() -> None:
    found = in_batches(np.array([[0.0], [5.0]]), 4, batch=2)
    np.testing.assert_array_equal(found.weights, [1.0, 1.0, 0.0, 0.0])
    assert found.inertia == 0


def test_mini_batches_of_no_point_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        in_batches(np.zeros((3, 1)), 1, batch=0)


@pytest.mark.parametrize("clusters", [2, 3, 9])
def test_two_nearest_centres_are_the_two_least_distances(clusters: int) -> None:
    """More points than one block, so that blocks are joined in order."""
    random = np.random.default_rng(clusters)
    points, centres = random.normal(size=(9000, 3)).astype(np.float32), random.normal(size=(clusters, 3))
    nearest, distances = two_nearest(points, centres)
    np.testing.assert_array_equal(nearest, assign(points, centres))
    wanted = np.sort(np.linalg.norm(points[:, None] - centres, axis=2), axis=1)[:, :2]
    np.testing.assert_allclose(distances, wanted, rtol=1e-6)


def test_one_centre_has_no_second() -> None:
    nearest, distances = two_nearest(np.array([[3.0], [1.0]]), np.array([[1.0]]))
    assert nearest.tolist() == [0, 0]
    assert distances.tolist() == [[2, np.inf], [0, np.inf]]
    with pytest.raises(DataError, match="fitted on other features"):
        two_nearest(np.zeros((2, 3)), np.zeros((2, 2)))
