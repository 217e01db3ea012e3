"""Object masks by hand, the polarity oracle, empty images, and the F measure against a slow count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.scoring.object_scores import FMeasureCurve, best_of_two, object_scores
from unsegcli.errors import ConfigError, DataError

few = settings(max_examples=60)


def test_by_hand() -> None:
    predicted = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], bool)
    truth = np.array([[1, 1, 0, 1], [0, 0, 0, -1]])
    scores = object_scores(predicted, truth)
    assert scores == (2 / 4, 4 / 6, 5 / 7, 3 / 5)


def test_empty_and_full() -> None:
    empty, full = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    nothing, all_object = np.zeros((2, 3), int), np.ones((2, 3), int)
    assert object_scores(empty, nothing) == (1, 1, 1, 1)
    assert object_scores(full, all_object) == (1, 1, 1, 1)
    assert object_scores(empty, all_object) == (0, 0, 0, 0)
    assert object_scores(full, nothing) == (0, 0, 0, 0)
    assert all(math.isnan(score) for score in object_scores(full, nothing - 1))
    assert all(math.isnan(score) for score in best_of_two(full, nothing - 1))


def test_best_of_two_takes_each_score_by_itself() -> None:
    # Given: IoU 1/10, accuracy 1/10; inverse: IoU 0, accuracy 9/10.
    predicted = np.ones((1, 10), bool)
    truth = np.zeros((1, 10), int)
    truth[0, 0] = 1
    scores = best_of_two(predicted, truth)
    assert scores.iou == 1 / 10
    assert scores.accuracy == 9 / 10
    assert scores.background_iou == 9 / 10


@few
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_best_of_two_is_blind_to_polarity_and_never_worse(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    predicted, truth = rng.random((4, 5)) < share, rng.integers(-1, 2, (4, 5))
    best = best_of_two(predicted, truth)
    assert best == pytest.approx(best_of_two(~predicted, truth), nan_ok=True)
    both = object_scores(predicted, truth), object_scores(~predicted, truth)
    assert best == pytest.approx(np.maximum(*both), nan_ok=True)


def test_random_polarity_halves_a_perfect_mask() -> None:
    # Trap: perfect regions, but which of the two is the object is a coin's choice.
    rng = np.random.default_rng(0)
    given_, best = [], []
    for _ in range(200):
        truth = np.zeros((20, 20), int)
        truth[5:15, 5 : rng.integers(8, 16)] = 1
        predicted = (truth == 1) ^ bool(rng.integers(2))
        given_.append(object_scores(predicted, truth).iou)
        best.append(best_of_two(predicted, truth).iou)
    assert np.mean(best) == 1
    assert 0.4 < np.mean(given_) < 0.6


def slow_curve(confidence: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall = np.zeros(255), np.zeros(255)
    for step in range(1, 256):
        taken = (confidence >= step / 255) & (truth >= 0)
        right = np.count_nonzero(taken & (truth == 1))
        precision[step - 1] = right / max(np.count_nonzero(taken), 1)
        recall[step - 1] = right / max(np.count_nonzero(truth == 1), 1)
    return precision, recall


def test_f_measure_against_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    curve, curves = FMeasureCurve(), []
    for _ in range(5):
        truth = rng.integers(-1, 2, (9, 11))
        confidence = np.clip(0.4 * (truth == 1) + 0.7 * rng.random(truth.shape), 0, 1)
        curve.add(confidence, truth)
        curves.append(slow_curve(confidence, truth))
    precision, recall = np.mean(curves, axis=0)
    np.testing.assert_allclose(curve.precision, precision)
    np.testing.assert_allclose(curve.recall, recall)
    measure = 1.3 * precision * recall / (0.3 * precision + recall)
    assert curve.largest() == pytest.approx(measure.max())
    each = [1.3 * p * r / np.maximum(0.3 * p + r, 1e-300) for p, r in curves]
    assert curve.largest("measure") == pytest.approx(np.mean(each, axis=0).max())
    assert curve.images == 5


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32, np.float64])
def test_f_measure_tells_all_levels_apart(kind: type) -> None:
    levels = np.arange(256).reshape(16, 16)
    confidence = levels.astype(np.uint8) if kind is np.uint8 else (levels / 255).astype(kind)
    if kind is np.float16:  # too coarse for all levels: the ends must hold
        confidence = np.where(levels > 0, confidence, kind(0))
    curve = FMeasureCurve()
    curve.add(confidence, (levels >= 200).astype(int))
    if kind is not np.float16:
        assert np.flatnonzero((curve.precision == 1) & (curve.recall == 1)).tolist() == [199]
        np.testing.assert_allclose(curve.precision[:200], 56 / (255 - np.arange(200)))
    assert curve.largest() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_f_measure_forgives_rounding(kind: type) -> None:
    levels = np.arange(256).reshape(16, 16)
    scaled = levels.astype(kind) * kind(1 / 256) * kind(256 / 255)  # many end just below levels / 255
    lowered = np.nextafter(scaled, kind(0))
    curves = FMeasureCurve(), FMeasureCurve()
    for curve, confidence in zip(curves, (levels.astype(np.uint8), np.minimum(lowered, 1)), strict=True):
        curve.add(confidence, levels % 2)
    np.testing.assert_array_equal(curves[0].precision, curves[1].precision)


def test_f_measure_of_empty_images() -> None:
    curve = FMeasureCurve()
    assert math.isnan(curve.largest())
    curve.add(np.ones((2, 2)), np.full((2, 2), -1))
    assert curve.images == 0
    curve.add(np.zeros((2, 2)), np.ones((2, 2), int))
    assert curve.largest() == 0
    curve.add(np.ones((2, 2)), np.zeros((2, 2), int))
    assert curve.largest("measure") == 0
    assert curve.images == 2
    with pytest.raises(ConfigError, match="'mean'"):
        curve.largest("mean")  # type: ignore[arg-type]


def test_refusals() -> None:
    mask, truth = np.zeros((2, 2), bool), np.zeros((2, 2), int)
    with pytest.raises(DataError, match="holds 2"):
        object_scores(mask, truth + 2)
    with pytest.raises(DataError, match="two equal"):
        object_scores(mask, truth[:1])
    with pytest.raises(DataError, match="booleans"):
        object_scores(truth, truth)
    for wrong in (np.full((2, 2), 1.5), np.full((2, 2), -0.1), np.full((2, 2), np.nan)):
        with pytest.raises(DataError, match="outside 0 to 1"):
            FMeasureCurve().add(wrong, truth)
    with pytest.raises(DataError, match="int64"):
        FMeasureCurve().add(truth, truth)
