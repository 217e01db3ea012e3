"""Labels that follow an object through frames: by hand, and what must hold of any frames."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.cell_vectors import cell_vectors
from unsegcli.core.propagation import LabelledCells, Vote, cell_labels, follow, spread


def row(vectors: list[float], labels: list[float], known: list[bool] | None = None) -> LabelledCells:
    """A frame of one row of cells, each with a vector of one number and the share of its object."""
    shares = np.array([[[1 - share, share] for share in labels]], np.float32)
    return LabelledCells(as_row(vectors), shares, np.array([known or [True] * len(vectors)]))


def as_row(vectors: list[float]) -> np.ndarray:
    return np.array(vectors, np.float32)[None, :, None]


def test_the_nearest_vectors_give_the_label_by_hand() -> None:
    """Squared distances .04, .16 and .36 from 1: weights exp(-.02/.1), exp(-.08/.1) for the two nearest."""
    frame = row([1.2, 1.4, 1.6], [1, 0, 1])
    found = follow(as_row([1.0, 1.0, 1.0]), [frame], Vote(neighbours=2, radius=3, temperature=0.1))
    weights = np.exp([-0.2, -0.8])
    np.testing.assert_allclose(found[0, :, 1], weights[0] / weights.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-5)


def test_cells_beyond_the_radius_and_unknown_ones_have_no_vote() -> None:
    vote = Vote(neighbours=1, radius=1)
    frame = row([1, 5, 5, 1], [1, 0, 0, 1])
    found = follow(as_row([9, 9, 1, 9]), [frame], vote)[0, :, 1]
    assert found.tolist() == [0, 0, 1, 0], "cell 2 sees the similar cell 3, not the equal but distant cell 0"
    hidden = row([1, 5, 5, 1], [1, 0, 0, 1], [True, True, True, False])
    assert follow(as_row([9, 9, 1, 9]), [hidden], vote)[0, 2, 1] == 0
    nothing = row([1, 5], [1, 0], [False, False])
    assert not follow(as_row([1, 5]), [nothing], vote).any()


def test_the_radius_is_that_of_a_disk() -> None:
    vectors = np.full((5, 5, 1), 9, np.float32)
    vectors[0, 0] = 1
    shares = np.zeros((5, 5, 2), np.float32)
    shares[:, :, 0] = 1
    shares[0, 0] = (0, 1)
    frame = LabelledCells(vectors, shares, np.ones((5, 5), bool))
    same = np.ones((5, 5, 1), np.float32)
    seen = follow(same, [frame], Vote(neighbours=1, radius=2))[:, :, 1] == 1
    rows, columns = np.mgrid[:5, :5]
    np.testing.assert_array_equal(seen, rows**2 + columns**2 <= 4)


def test_blocks_do_not_show() -> None:
    """The same as comparing all cells with all others, on a grid larger than a block, over two frames."""
    random = np.random.default_rng(0)
    shape, vote = (21, 35), Vote(neighbours=3, radius=4, temperature=0.5)
    frames = [
        LabelledCells(random.normal(size=(*shape, 2)).astype(np.float32), shares, random.random(shape) < 0.9)
        for shares in random.dirichlet([1, 1], (2, *shape)).astype(np.float32)
    ]
    vectors = random.normal(size=(*shape, 2)).astype(np.float32)
    places = np.stack(np.mgrid[: shape[0], : shape[1]], 2).reshape(-1, 2)
    near = ((places[:, None] - places) ** 2).sum(2) <= vote.radius**2
    similar = np.concatenate(
        [
            np.where(
                near & one.known.ravel(),
                -((vectors.reshape(-1, 1, 2) - one.vectors.reshape(-1, 2)) ** 2).sum(2) / 2,
                -1e9,
            )
            for one in frames
        ],
        axis=1,
    )
    best = np.argsort(-similar, axis=1)[:, : vote.neighbours]
    weights = np.exp(np.take_along_axis(similar, best, 1) / vote.temperature)
    labels = np.concatenate([one.labels.reshape(-1, 2) for one in frames])
    wanted = (weights[:, :, None] * labels[best]).sum(1) / weights.sum(1)[:, None]
    np.testing.assert_allclose(follow(vectors, frames, vote).reshape(-1, 2), wanted, atol=1e-4)


def test_labels_of_cells_are_shares_of_their_labelled_pixels() -> None:
    numbers = np.array([[0, 1, 1], [-1, 1, -1], [2, 2, -1]])
    shares, known = cell_labels(numbers, 3, (2.0, 2.0))
    np.testing.assert_allclose(shares[0, 0], [1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(shares[1, 0], [0, 0, 1])
    assert known.tolist() == [[True, True], [True, False]]


def test_values_between_centres_are_interpolated() -> None:
    cells = np.array([[[0.0], [4.0]]], np.float32)
    assert spread(cells, (2, 4), (2.0, 2.0))[:, :, 0].tolist() == [[0, 1, 3, 4]] * 2


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_vectors_of_cells_move_with_the_image(bands: int) -> None:
    """Any number of bands; a shift by whole cells shifts them, and their distance is one of colours."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (24, 24, bands), np.uint8)
    here, moved = cell_vectors(pixels, None, 4), cell_vectors(np.roll(pixels, 4, axis=1), None, 4)
    assert here.shape == (6, 6, 16 * bands)
    np.testing.assert_allclose(moved[1:-1, 2:-1], here[1:-1, 1:-2], atol=1e-4)
    dark, light = (np.full((8, 8, bands), value, np.uint8) for value in (102, 153))
    if bands != 3:
        distance = ((cell_vectors(light, None, 4) - cell_vectors(dark, None, 4)) ** 2).sum(axis=2)
        np.testing.assert_allclose(distance, bands * (20 / 3) ** 2, rtol=1e-4)


def test_void_pixels_do_not_change_the_vectors() -> None:
    random = np.random.default_rng(1)
    pixels, valid = random.integers(0, 256, (12, 12, 3), np.uint8), np.ones((12, 12), bool)
    valid[:, 8:] = False
    other = np.where(valid[:, :, None], pixels, np.uint8(77))
    np.testing.assert_array_equal(cell_vectors(pixels, valid, 2), cell_vectors(other, valid, 2))
    assert np.isfinite(cell_vectors(pixels, np.zeros((12, 12), bool), 2)).all()
