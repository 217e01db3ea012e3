"""The matrix of clusters and classes: counted by hand, against a slow count, and refused where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.scoring import confusion as module
from unsegcli.core.scoring.confusion import confusion
from unsegcli.errors import DataError


def slow(predicted: np.ndarray, truth: np.ndarray, clusters: int, classes: int, void: int | None) -> np.ndarray:
    matrix = np.zeros((clusters + 1, classes), np.int64)
    for cluster, kind in zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if kind >= 0:
            matrix[clusters if cluster == void else cluster, kind] += 1
    return matrix


def test_by_hand() -> None:
    predicted = np.array([[0, 0, 1], [2, 255, 1]], np.uint8)
    truth = np.array([[1, 1, 0], [-1, 0, -1]], np.int16)
    matrix = confusion(predicted, truth, 3, 2, void=255)
    np.testing.assert_array_equal(matrix, [[0, 2], [1, 0], [0, 0], [1, 0]])
    assert matrix.dtype == np.int64
    assert matrix.sum() == np.count_nonzero(truth >= 0)


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    clusters=st.sampled_from([1, 2, 27, 255, 256, 300]),
    classes=st.sampled_from([1, 3, 27, 255]),
    kinds=st.tuples(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.int64]),
        st.sampled_from([np.int16, np.int32, np.int64]),
    ),
    void=st.sampled_from([None, -1, 0, 255]),
)
def test_any_kind_of_map(
    seed: int, shape: tuple[int, int], clusters: int, classes: int, kinds: tuple[type, type], void: int | None
) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, min(clusters, np.iinfo(kinds[0]).max + 1), shape).astype(kinds[0])
    if void is not None and void >= np.iinfo(kinds[0]).min:
        predicted[rng.random(shape) < 0.2] = void
    truth = rng.integers(-3, classes, shape).astype(kinds[1])
    expected = slow(predicted, truth, clusters, classes, void)
    np.testing.assert_array_equal(confusion(predicted, truth, clusters, classes, void), expected)
    np.testing.assert_array_equal(confusion(predicted.T, truth.T, clusters, classes, void), expected)


@pytest.mark.parametrize(("clusters", "classes"), [(27, 27), (700, 200)])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, clusters: int, classes: int) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(module, "LARGEST_BLOCK", 64)
    rng = np.random.default_rng(0)
    predicted = rng.integers(0, clusters, (61, 23)).astype(np.uint16)
    truth = rng.integers(-1, classes, (61, 23)).astype(np.int16)
    expected = slow(predicted, truth, clusters, classes, None)
    np.testing.assert_array_equal(confusion(predicted, truth, clusters, classes), expected)


def test_truth_without_sign_and_booleans() -> None:
    predicted = np.array([[True, False, True]])
    truth = np.array([[2, 0, 2]], np.uint8)
    np.testing.assert_array_equal(confusion(predicted, truth, 2, 3), [[1, 0, 0], [0, 0, 2], [0, 0, 0]])


def test_images_add_up_and_renaming_moves_rows() -> None:
    rng = np.random.default_rng(3)
    predicted, truth = rng.integers(0, 5, (20, 10)), rng.integers(-1, 4, (20, 10))
    whole = confusion(predicted, truth, 5, 4)
    halves = confusion(predicted[:7], truth[:7], 5, 4) + confusion(predicted[7:], truth[7:], 5, 4)
    np.testing.assert_array_equal(whole, halves)
    names = rng.permutation(5)
    np.testing.assert_array_equal(confusion(names[predicted], truth, 5, 4)[names], whole[:5])


@pytest.mark.parametrize("where", [0, -1])
def test_a_number_that_is_no_cluster(where: int) -> None:
    predicted = np.zeros((3, 3), np.int32)
    predicted[where, where] = 8
    with pytest.raises(DataError, match=r"holds 8.*0 to 7"):
        confusion(predicted, np.zeros((3, 3), int), 8, 2)
    with pytest.raises(DataError, match="no cluster is 255"):
        confusion(predicted, np.zeros((3, 3), int), 8, 2, void=255)
    assert confusion(predicted, np.zeros((3, 3), int), 8, 2, void=8)[8, 0] == 1


def test_refusals() -> None:
    zeros = np.zeros((2, 2), int)
    with pytest.raises(DataError, match="truth holds 2"):
        confusion(zeros, zeros + 2, 2, 2)
    with pytest.raises(DataError, match="holds -1"):
        confusion(zeros - 1, zeros, 2, 2)
    with pytest.raises(DataError, match="two equal"):
        confusion(zeros, zeros[:1], 2, 2)
    with pytest.raises(DataError, match="float64"):
        confusion(zeros.astype(float), zeros, 2, 2)
    with pytest.raises(DataError, match="0 clusters"):
        confusion(zeros, zeros, 0, 2)
