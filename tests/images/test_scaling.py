"""Percentiles, the way to 0..255, and sizes changed without mixing bands or invalid pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unsegcli.images.scaling import (
    AS_IT_IS,
    by_one_factor,
    percentile_limits,
    regular_sample,
    resized,
    to_bytes,
    value_family,
)


def test_families_of_types() -> None:
    found = [value_family(name) for name in ("uint8", "int8", "uint16", "int64", "float16", "float64")]
    assert found == ["bytes", "whole", "whole", "whole", "real", "real"]


def test_percentiles_by_hand() -> None:
    band = np.arange(101, dtype=np.uint16)[:, np.newaxis]
    samples = [np.hstack([band[:40], band[:40] * 10]), np.hstack([band[40:], band[40:] * 10])]
    assert percentile_limits(samples, (1.0, 99.0), 2) == ((1.0, 99.0), (10.0, 990.0))
    assert percentile_limits([], (1.0, 99.0), 1) == ((0.0, 0.0),)


def test_bands_of_one_factor_by_hand_keep_proportions_of_distances() -> None:
    assert by_one_factor(((0.0, 4.0), (10.0, 12.0), (5.0, 5.0))) == ((0.0, 4.0), (9.0, 13.0), (3.0, 7.0))
    points = np.random.default_rng(0).normal([0, 100], [8, 1], (60, 2))[:, None]
    alike = by_one_factor(((-30.0, 30.0), (96.0, 104.0)))
    distances = [np.linalg.norm(one[:1] - one[1:], axis=(1, 2)) for one in (points, to_bytes(points, alike) / 1.0)]
    assert np.allclose(distances[0] * 255 / 60, distances[1], atol=1.5)


def test_to_bytes_by_hand_rounds_half_up_and_clips() -> None:
    values = np.array([[0, 100, 101, 102, 150, 355, 356, 60000]], dtype=np.uint16)[:, :, np.newaxis]
    assert to_bytes(values, ((100.0, 610.0),)).ravel().tolist() == [0, 0, 1, 1, 25, 128, 128, 255]


def test_flat_bands_and_what_is_not_finite_become_zero() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 1.0]], dtype=np.float32)[:, :, np.newaxis]
    assert to_bytes(values, ((1.0, 1.0),)).ravel().tolist() == [0, 0, 0, 0]
    assert to_bytes(values, ((0.0, 2.0),)).ravel().tolist() == [0, 255, 0, 128]
    wide = np.array([[-1.7e308, 1.7e308]])[:, :, np.newaxis]
    assert to_bytes(wide, ((-1.7e308, 1.7e308),)).shape == (1, 2, 1)


def test_bytes_stay_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(to_bytes(values, (AS_IT_IS,)), values)
    assert to_bytes(values, ((0.0, 127.5),)).max() == 255


@settings(max_examples=30)
@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), seed=st.integers(0, 99))
def test_to_bytes_keeps_order_and_reaches_both_ends(low: float, span: float, seed: int) -> None:
    values = np.sort(np.random.default_rng(seed).normal(low, span, 200)).reshape(1, 200, 1)
    scaled = to_bytes(values, ((low, low + span),)).ravel().astype(int)
    assert (np.diff(scaled) >= 0).all()
    assert (scaled[values.ravel() <= low] == 0).all()
    assert (scaled[values.ravel() >= low + span] == 255).all()


def test_sample_is_regular_and_valid() -> None:
    pixels = np.arange(60 * 80 * 2).reshape(60, 80, 2)
    sample = regular_sample(pixels, None, 50)
    assert 20 <= len(sample) <= 60
    valid = np.zeros((60, 80), dtype=bool)
    assert regular_sample(pixels, valid, 50).shape == (0, 2)
    valid[:30] = True
    assert (regular_sample(pixels, valid, 50) < 30 * 80 * 2).all()
    np.testing.assert_array_equal(regular_sample(pixels, None, 10_000), pixels.reshape(-1, 2))
    assert len(regular_sample(pixels[:1], None, 1)) == 1


def test_bands_are_resized_alone() -> None:
    """Pillow's own RGBA resize multiplies by the fourth band; here it is a band like the others."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    small, valid = resized(pixels, None, (13, 20))
    assert valid is None
    for band in range(4):
        alone = Image.fromarray(pixels[:, :, band]).resize((20, 13), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(small[:, :, band], np.asarray(alone))
    rgba = np.asarray(Image.fromarray(pixels).resize((20, 13), Image.Resampling.BILINEAR))
    assert np.abs(small.astype(int) - rgba)[:, :, :3].max() > 20


@pytest.mark.parametrize("grid", [(7, 9), (20, 30), (33, 64), (20, 15)])
def test_invalid_pixels_do_not_bleed(grid: tuple[int, int]) -> None:
    pixels = np.full((20, 30, 2), 100, dtype=np.uint8)
    valid = np.random.default_rng(1).random((20, 30)) < 0.6
    pixels[~valid] = (255, 0)
    small, kept = resized(pixels, valid, grid)
    assert kept is not None
    rows = [int((r + 0.5) * 20 / grid[0]) for r in range(grid[0])]
    columns = [int((c + 0.5) * 30 / grid[1]) for c in range(grid[1])]
    np.testing.assert_array_equal(kept, valid[np.ix_(rows, columns)])
    assert (small[kept] == 100).all()
    assert (small[~kept] == 0).all()


def test_valid_everywhere_is_plain_resizing_but_for_rounding() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    plain, _ = resized(pixels, None, (12, 11))
    weighted, _ = resized(pixels, np.ones((31, 17), dtype=bool), (12, 11))
    np.testing.assert_allclose(plain.astype(int), weighted.astype(int), atol=1)


def test_nothing_valid_is_all_zero() -> None:
    small, kept = resized(np.full((6, 6, 3), 9, dtype=np.uint8), np.zeros((6, 6), dtype=bool), (3, 2))
    assert kept is not None
    assert not kept.any()
    assert not small.any()
