"""Vectors of objects, and the space in which they are grouped."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.prototypes import prototypes, whitening


def test_prototypes_by_hand() -> None:
    """Object 0 has a long vector to the east and a short one to the north; object 1 one to the west."""
    vectors = np.array([[[5.0, 0.0, -3.0, 7.0]], [[0.0, 1.0, 0.0, 7.0]]])
    objects = np.array([[0, 0, 1, -1]], np.int32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(prototypes(vectors, objects), [[half, half], [-1, 0]], atol=1e-12)
    weights = np.array([[1.0, 10.0, 2.0, 9.0]])  # as they are: (5, 0) + (0, 10)
    np.testing.assert_allclose(
        prototypes(vectors, objects, weights), [[1 / np.sqrt(5), 2 / np.sqrt(5)], [-1, 0]], atol=1e-12
    )


def test_no_object_has_no_prototype() -> None:
    assert prototypes(np.ones((3, 2, 2)), np.full((2, 2), -1, np.int32)).shape == (0, 3)


def test_whitened_directions_spread_alike() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(300, 4)) @ np.diag([10, 3, 1, 0.1]) + 5
    found = whitening(points)(points)
    np.testing.assert_allclose(np.cov(found.T), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)


def test_directions_that_only_noise_fills_are_left_out() -> None:
    random = np.random.default_rng(0)
    flat = random.normal(size=(100, 3)) * [1, 1, 1e-6]
    assert whitening(flat).directions.shape == (3, 2), "no spread"
    few = random.normal(size=(25, 8))
    assert whitening(few).directions.shape == (8, 2), "one direction for ten points"


@pytest.mark.parametrize("points", [np.ones((1, 3)), np.ones((40, 3)), np.eye(3)])
def test_any_points_can_be_whitened(points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    found = whitening(points)(points)
    assert np.isfinite(found).all()
    assert found.shape[1] >= 1


def test_a_point_has_the_same_bits_alone_and_among_others() -> None:
    points = np.random.default_rng(0).normal(size=(60, 5))
    space = whitening(points)
    assert space(points)[7].tobytes() == space(points[7:8])[0].tobytes()


def test_objects_of_known_classes_are_found_again() -> None:
    """The protocol on a truth whose numbers are permuted: each class one direction, with a little noise."""
    random = np.random.default_rng(0)
    truth = random.permutation(np.repeat(np.arange(6), 20))
    points = np.eye(8)[truth] + random.normal(0, 0.03, (120, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    space = whitening(points)
    centres = kmeans(space(points), 6, seed=0, starts=5, iterations=100).centres
    found = assign(space(points), centres)
    matrix = np.zeros((6, 6), np.int64)
    np.add.at(matrix, (found, truth), 1)
    assert (np.count_nonzero(matrix, axis=0) == 1).all()
    assert (np.count_nonzero(matrix, axis=1) == 1).all(), "so that matching gives mIoU 1"
