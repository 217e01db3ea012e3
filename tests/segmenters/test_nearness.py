"""How near pixels are to two centres: by hand, painted, and within half a step of what the distances are."""

from __future__ import annotations

import numpy as np

from unsegcli.segmenters.nearness import nearness


def test_by_hand() -> None:
    near = nearness(np.array([[0.0], [4.0], [10.0]]), np.array([[0.0], [5.0], [20.0]]))
    assert near.clusters.tolist() == [0, 1, 1]
    assert near.farthest == 10
    assert near.shares.tolist() == [[0, 127], [25, 102], [127, 254]]


def test_coarse_distances_are_multiples_of_the_step_up_to_the_farthest() -> None:
    near = nearness(np.array([[0.0], [4.0], [10.0]]), np.array([[0.0], [5.0], [20.0]]), step=16)
    assert near.shares.tolist() == [[0, 128], [32, 96], [128, 254]]


def test_with_one_centre_there_is_no_second() -> None:
    near = nearness(np.array([[0.0], [3.0]]), np.array([[1.0]]))
    assert near.farthest == 2
    assert near.shares.tolist() == [[127, 255], [254, 255]]


def test_points_at_their_centres_are_at_distance_0() -> None:
    near = nearness(np.ones((2, 3)), np.ones((1, 3)))
    assert (near.farthest, near.shares.tolist()) == (0, [[0, 255]] * 2)
    empty = nearness(np.zeros((0, 3)), np.ones((2, 3)))
    assert (empty.farthest, empty.shares.shape) == (0, (0, 2))


def test_painted_pixels_have_the_distances_of_their_point_and_void_has_none() -> None:
    near = nearness(np.array([[0.0], [4.0]]), np.array([[0.0], [5.0]]))
    encoded, row = near.painted(np.array([[1, 0, -1], [1, 1, -1]], np.int32))
    assert row == {"farthest": 5.0}
    distances = encoded["distances"]
    assert (distances.dtype, distances.shape) == ("|u1", (2, 3, 2))


def test_steps_are_fine_enough() -> None:
    random = np.random.default_rng(0)
    points, centres = random.normal(size=(500, 4)), random.normal(size=(7, 4))
    near = nearness(points, centres)
    all_of_them = np.sort(np.linalg.norm(points[:, None] - centres, axis=2), axis=1)[:, :2]
    np.testing.assert_allclose(near.shares * near.farthest / 254, all_of_them, atol=near.farthest / 254 / 2 + 1e-6)
