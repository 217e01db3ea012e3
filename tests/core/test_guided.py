"""The guided filter against what it must give, and against the formula computed pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core import guided as module
from unsegcli.core.guided import guide_of, guided, refined

RANDOM = np.random.default_rng(0)


def box_means(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Mean over what there is of the box around each pixel, the slow way."""
    height, width = values.shape
    return np.array(
        [
            [
                values[max(0, r - radius) : r + radius + 1, max(0, c - radius) : c + radius + 1].mean()
                for c in range(width)
            ]
            for r in range(height)
        ]
    )


def naive(
    values: NDArray[np.float64], guide: NDArray[np.float64], valid: NDArray[np.bool_], radius: int, epsilon: float
) -> NDArray[np.float64]:
    """Ridge regression in each box; each pixel the mean of what all boxes around valid pixels say."""
    height, width, bands = guide.shape
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for r, c in np.argwhere(valid):
        box = np.s_[max(0, r - radius) : r + radius + 1, max(0, c - radius) : c + radius + 1]
        inside = valid[box]
        pixels, wanted = guide[box][inside], values[box][inside]
        centred = pixels - pixels.mean(axis=0)
        slopes = np.linalg.solve(
            centred.T @ centred / len(pixels) + epsilon * np.eye(bands), centred.T @ wanted / len(pixels)
        )
        said = wanted.mean() + (guide[box] - pixels.mean(axis=0)) @ slopes
        total[box] += said
        count[box] += 1
    return np.where(valid, total / np.maximum(count, 1), values)


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
@pytest.mark.parametrize("holes", [False, True])
def test_equals_the_regressions_written_out(bands: int, holes: bool) -> None:
    guide, maps = RANDOM.random((13, 17, bands)), RANDOM.random((2, 13, 17))
    valid = RANDOM.random((13, 17)) > 0.3 if holes else np.ones((13, 17), bool)
    found = guided(maps, guide, valid if holes else None, radius=3, epsilon=1e-2)
    for number in range(2):
        np.testing.assert_allclose(found[number], naive(maps[number], guide, valid, 3, 1e-2), atol=1e-10)


def test_plain_image_leaves_box_means() -> None:
    maps = RANDOM.random((1, 20, 30))
    once = box_means(maps[0], 4)
    np.testing.assert_allclose(guided(maps, np.full((20, 30, 3), 0.4), radius=4)[0], box_means(once, 4), atol=1e-12)


def test_an_edge_of_the_image_is_kept_and_noise_is_not() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = (200, 120, 40)
    truth = np.where(np.arange(40) < 20, 0.8, 0.2) * np.ones((40, 1))
    noisy = (truth + RANDOM.normal(0, 0.1, truth.shape)).astype(np.float32)
    found = refined(np.stack([noisy, 1 - noisy]), image, None)[0]
    assert np.abs(found - truth).max() < 0.1
    assert np.abs(found - truth).std() < 0.2 * np.abs(noisy - truth).std() + 0.01
    # A border of the scores that lies two pixels beside that of the image comes nearer to it.
    beside = np.where(np.arange(40) < 22, 0.9, 0.1).astype(np.float32) * np.ones((40, 1), np.float32)
    moved = refined(np.stack([beside, 1 - beside]), image, None)[0]
    assert moved[20, 20] < beside[20, 20] - 0.2


def test_scores_still_sum_to_one_and_void_stays() -> None:
    scores = RANDOM.dirichlet(np.full(5, 0.1), (30, 25)).transpose(2, 0, 1).astype(np.float32)
    image = RANDOM.integers(0, 256, (30, 25, 4), np.uint8)
    valid = RANDOM.random((30, 25)) > 0.4
    found = refined(scores, image, valid)
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(found[:, ~valid], scores[:, ~valid], atol=1e-6)
    other = np.where(valid[:, :, None], image, RANDOM.integers(0, 256, image.shape)).astype(np.uint8)
    np.testing.assert_allclose(refined(scores, other, valid), found, atol=1e-6)
    np.testing.assert_allclose(refined(scores, image, np.zeros_like(valid)), scores, atol=1e-6)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, maps = RANDOM.random((90, 20, 3)), RANDOM.random((2, 90, 20))
    whole = guided(maps, guide, radius=4)
    monkeypatch.setattr(module, "STRIP_BYTES", 1)
    np.testing.assert_allclose(guided(maps, guide, radius=4), whole, atol=1e-12)


def test_maps_are_filtered_as_each_alone() -> None:
    guide, maps = RANDOM.random((20, 30, 3)), RANDOM.random((11, 20, 30)).astype(np.float32)
    valid = RANDOM.random((20, 30)) > 0.2
    alone = np.concatenate([guided(one[None], guide, valid, radius=4) for one in maps])
    np.testing.assert_array_equal(guided(maps, guide, valid, radius=4), alone)


def test_the_image_is_measured_once_for_all_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    box_mean = module._box_mean
    monkeypatch.setattr(module, "_box_mean", lambda *given: (calls.append(1), box_mean(*given))[1])
    guided(RANDOM.random((24, 20, 20)), RANDOM.random((20, 20, 3)))
    assert len(calls) == 1 + 3 + 6  # valid pixels, bands, and their products


def test_a_box_may_be_larger_than_the_image() -> None:
    maps, guide = RANDOM.random((2, 5, 4)), RANDOM.random((5, 4, 2))
    found = guided(maps, guide, radius=8, epsilon=1e-2)
    for number in range(2):
        np.testing.assert_allclose(
            found[number], naive(maps[number], guide, np.ones((5, 4), bool), 8, 1e-2), atol=1e-10
        )


def test_many_bands_are_brought_to_few() -> None:
    few = RANDOM.integers(0, 256, (20, 20, 2)).astype(np.float64)
    many = np.clip(few @ RANDOM.random((2, 40)) / 2, 0, 255).astype(np.uint8)
    guide = guide_of(many)
    assert guide.shape == (20, 20, 6)
    kept = guide.astype(np.float64).reshape(-1, 6).var(axis=0).sum()
    assert kept > 0.999 * (many / 255).reshape(-1, 40).var(axis=0).sum()
    scores = RANDOM.dirichlet(np.ones(3), (20, 20)).transpose(2, 0, 1).astype(np.float32)
    assert np.isfinite(refined(scores, many, None)).all()
