"""Felzenszwalb: what every superpixel map must be, and how near the number comes to the one asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.superpixels.felzenszwalb import felzenszwalb
from unsegcli.core.superpixels.regions import contiguous, is_connected
from unsegcli.errors import ConfigError, DataError


def noisy_blocks(seed: int, height: int, width: int, bands: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 200, (height // 9 + 1, width // 9 + 1, bands))
    enlarged = blocks.repeat(9, axis=0).repeat(9, axis=1)[:height, :width]
    return (enlarged + generator.integers(0, 56, (height, width, bands))).astype(np.uint8)


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 5),
    st.integers(1, 60),
    st.sampled_from([None, 0.0, 0.3, 0.9]),
)
def test_every_map_is_numbered_connected_and_void_where_invalid(
    seed: int, height: int, width: int, bands: int, segments: int, share: float | None
) -> None:
    pixels = noisy_blocks(seed, height, width, bands)
    valid = None if share is None else np.random.default_rng(seed).random((height, width)) < share
    found = felzenszwalb(pixels, valid, segments)
    assert found.dtype == np.int32
    expected = np.ones((height, width), bool) if valid is None else valid
    np.testing.assert_array_equal(found >= 0, expected)
    np.testing.assert_array_equal(contiguous(found), found)
    assert is_connected(found)


@pytest.mark.parametrize("bands", [1, 3, 4, 7])
@pytest.mark.parametrize("segments", [20, 100, 400])
def test_the_number_comes_near(bands: int, segments: int) -> None:
    count = felzenszwalb(noisy_blocks(4, 120, 100, bands), None, segments).max() + 1
    assert abs(count - segments) <= 0.15 * segments


def test_the_number_comes_near_inside_a_mask() -> None:
    valid = np.hypot(*np.mgrid[-60:60, -60:60]) < 50
    count = felzenszwalb(noisy_blocks(4, 120, 120, 3), valid, 80).max() + 1
    assert abs(count - 80) <= 12


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 6])
def test_superpixels_keep_to_the_quadrants(bands: int) -> None:
    quadrants = np.repeat(np.repeat([[0, 1], [2, 3]], 20, 0), 20, 1)
    colours = np.linspace(0, 255, 4 * bands).reshape(4, bands)
    pixels = colours[quadrants].astype(np.uint8)
    found = felzenszwalb(pixels, None, 4)
    # The blur before the graph is built makes the border itself two or three pixels wide.
    inner = np.zeros((40, 40), bool)
    inner[:17, :17] = inner[:17, 23:] = inner[23:, :17] = inner[23:, 23:] = True
    for superpixel in np.unique(found[inner]):
        assert len(np.unique(quadrants[inner & (found == superpixel)])) == 1


def test_bytes_and_floats_give_the_same_and_invalid_pixels_have_no_influence() -> None:
    pixels = noisy_blocks(6, 50, 60, 3)
    valid = np.hypot(*np.mgrid[-25:25, -30:30]) < 20
    expected = felzenszwalb(pixels, valid, 20)
    np.testing.assert_array_equal(felzenszwalb(pixels / 255, valid, 20), expected)
    other = np.where(valid[:, :, None], pixels, 255).astype(np.uint8)
    np.testing.assert_array_equal(felzenszwalb(other, valid, 20), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2)])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_tiny_and_constant_images(shape: tuple[int, int], bands: int) -> None:
    assert (felzenszwalb(np.full((*shape, bands), 9, np.uint8), None, 3) == 0).all()
    assert felzenszwalb(noisy_blocks(1, *shape, bands), None, 1000).min() == 0


def test_no_valid_pixel_gives_no_superpixel() -> None:
    assert (felzenszwalb(noisy_blocks(1, 9, 9, 3), np.zeros((9, 9), bool), 5) == -1).all()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="--segments 0"):
        felzenszwalb(noisy_blocks(1, 9, 9, 3), None, 0)
    with pytest.raises(DataError, match="finite"):
        felzenszwalb(np.full((9, 9, 3), np.inf), None, 5)
    with pytest.raises(DataError, match="differ"):
        felzenszwalb(noisy_blocks(1, 9, 9, 3), np.zeros((8, 9), bool), 5)
