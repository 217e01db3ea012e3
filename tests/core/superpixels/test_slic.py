"""SLIC: what every superpixel map must be, and images whose superpixels are known."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.superpixels import local_kmeans
from unsegcli.core.superpixels.lattice import Lattice
from unsegcli.core.superpixels.regions import areas, contiguous, is_connected, paint, pool
from unsegcli.core.superpixels.slic import slic
from unsegcli.errors import ConfigError, DataError


def random_image(seed: int, height: int, width: int, bands: int) -> np.ndarray:
    """Coloured blocks with noise."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 200, (height // 7 + 1, width // 7 + 1, bands))
    enlarged = blocks.repeat(7, axis=0).repeat(7, axis=1)[:height, :width]
    return (enlarged + generator.integers(0, 56, (height, width, bands))).astype(np.uint8)


def four_quadrants(bands: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """An image of four colours and the map of its quadrants."""
    quadrants = np.repeat(np.repeat([[0, 1], [2, 3]], side // 2, 0), side // 2, 1)
    colours = np.random.default_rng(bands).permutation(np.arange(4 * bands) * 255 // (4 * bands))
    return colours.reshape(4, bands)[quadrants].astype(np.uint8), quadrants


def check_map(found: np.ndarray, valid: np.ndarray) -> None:
    """Whatever a superpixel map must fulfil."""
    assert found.dtype == np.int32
    assert found.shape == valid.shape
    np.testing.assert_array_equal(found >= 0, valid)
    np.testing.assert_array_equal(contiguous(found), found)
    assert is_connected(found)


@settings(max_examples=80)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 150),
    st.floats(-3, 3),
    st.sampled_from([None, 0.0, 0.3, 0.9, 1.0]),
)
def test_every_map_is_numbered_connected_and_void_where_invalid(
    seed: int, height: int, width: int, bands: int, segments: int, exponent: float, share: float | None
) -> None:
    pixels = random_image(seed, height, width, bands)
    valid = None if share is None else np.random.default_rng(seed).random((height, width)) < share
    found = slic(pixels, valid, segments, 10**exponent)
    check_map(found, np.ones((height, width), bool) if valid is None else valid)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_all_types_of_pixels_give_the_same_superpixels(bands: int, masked: bool) -> None:
    pixels = random_image(3, 60, 50, bands)
    valid = np.hypot(*np.mgrid[-30:30, -25:25]) < 22 if masked else None
    expected = slic(pixels, valid, 40, 10.0)
    for same in (pixels / 255, (pixels / 255).astype(np.float32), pixels.astype(np.uint16) * 257):
        np.testing.assert_array_equal(slic(same, valid, 40, 10.0), expected)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 6])
def test_superpixels_keep_to_the_quadrants(bands: int) -> None:
    pixels, quadrants = four_quadrants(bands)
    found = slic(pixels, None, 16, 10.0)
    assert found.max() + 1 == 16
    for superpixel in range(16):
        assert len(np.unique(quadrants[found == superpixel])) == 1


def border_length(found: np.ndarray) -> int:
    return int((found[1:] != found[:-1]).sum() + (found[:, 1:] != found[:, :-1]).sum())


@pytest.mark.parametrize("compactness", [5.0, 20.0, 100.0])
def test_compactness_means_the_same_for_any_number_of_bands(compactness: float) -> None:
    """Grey is grey, however many bands repeat it; Lab differs a little, for its lightness is not linear."""
    smooth = np.linspace(0, 200, 64)[:, None] * np.linspace(0.2, 1, 64)
    grey = (smooth + np.random.default_rng(0).integers(0, 20, (64, 64))).astype(np.uint8)[:, :, None]
    expected = slic(grey, None, 64, compactness)
    for bands in (2, 4, 9):
        found = slic(np.repeat(grey, bands, axis=2), None, 64, compactness)
        assert (found == expected).mean() > 0.98
    in_lab = border_length(slic(np.repeat(grey, 3, axis=2), None, 64, compactness))
    assert in_lab == pytest.approx(border_length(expected), rel=0.1)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_high_compactness_makes_squares_and_a_lower_one_follows_colour(bands: int) -> None:
    pixels = random_image(5, 64, 64, bands)

    def unexplained(found: np.ndarray) -> float:
        means = pool(pixels, found, found.max() + 1)
        return float(((pixels - paint(means, found, 0.0)) ** 2).mean())

    squares = slic(pixels, None, 64, 1000.0)
    assert border_length(squares) < 1.15 * (2 * 64 * 7)  # that of 8 x 8 squares
    assert unexplained(slic(pixels, None, 64, 20.0)) < 0.75 * unexplained(squares)


def test_invalid_pixels_have_no_influence() -> None:
    pixels = random_image(8, 48, 64, 3)
    valid = np.zeros((48, 64), bool)
    valid[5:40, 10:50] = True
    valid[20:24, 10:40] = False
    other = np.where(valid[:, :, None], pixels, 255).astype(np.uint8)
    np.testing.assert_array_equal(slic(pixels, valid, 30, 10.0), slic(other, valid, 30, 10.0))


def test_a_mask_gives_the_number_requested_and_no_slivers() -> None:
    pixels = random_image(9, 120, 120, 3)
    valid = np.hypot(*np.mgrid[-60:60, -60:60]) < 45
    found = slic(pixels, valid, 60, 30.0)
    assert found.max() + 1 == 60
    assert areas(found, 60).min() >= valid.sum() // 60 // 4


def test_a_mask_that_is_all_true_changes_nothing() -> None:
    pixels = random_image(2, 30, 30, 3)
    np.testing.assert_array_equal(slic(pixels, np.ones((30, 30), bool), 9, 10.0), slic(pixels, None, 9, 10.0))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (3, 50)])
@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("segments", [1, 5, 1000])
def test_tiny_and_constant_images(shape: tuple[int, int], bands: int, segments: int) -> None:
    for pixels in (np.full((*shape, bands), 9, np.uint8), random_image(1, *shape, bands)):
        check_map(slic(pixels, None, segments, 10.0), np.ones(shape, bool))


def test_no_valid_pixel_gives_no_superpixel() -> None:
    found = slic(random_image(1, 9, 9, 3), np.zeros((9, 9), bool), 5, 10.0)
    assert (found == -1).all()


def test_nonsense_is_refused() -> None:
    pixels = random_image(1, 9, 9, 3)
    with pytest.raises(ConfigError, match="--segments 0"):
        slic(pixels, None, 0, 10.0)
    with pytest.raises(ConfigError, match="--compactness"):
        slic(pixels, None, 5, 0.0)
    with pytest.raises(DataError, match="height, width, bands"):
        slic(pixels[:, :, 0], None, 5, 10.0)
    with pytest.raises(DataError, match="int16"):
        slic(pixels.astype(np.int16), None, 5, 10.0)
    with pytest.raises(DataError, match="finite"):
        slic(np.full((9, 9, 3), np.nan), None, 5, 10.0)
    with pytest.raises(DataError, match="differ"):
        slic(pixels, np.zeros((8, 9), bool), 5, 10.0)


def masks(shape: tuple[int, int]) -> dict[str, np.ndarray | None]:
    """No mask, a disc, rectangular holes, and two islands."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    holes = np.ones(shape, bool)
    random = np.random.default_rng(0)
    for _ in range(20):
        top, left = random.integers(0, height), random.integers(0, width)
        holes[top : top + random.integers(5, 40), left : left + random.integers(5, 40)] = False
    islands = np.zeros(shape, bool)
    islands[5 : height // 3, 10 : width // 2], islands[height // 2 :, width // 2 :] = True, True
    disc = np.hypot(rows - height / 2, columns - width / 2) < 0.4 * min(shape)
    return {"all": None, "disc": disc, "holes": holes, "islands": islands}


@pytest.mark.parametrize("mask", ["all", "disc", "holes", "islands"])
@pytest.mark.parametrize("kind", ["blocks", "noise", "flat", "gradient"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_the_number_is_the_one_requested(kind: str, bands: int, mask: str) -> None:
    shape = (150, 210)
    pixels = {
        "blocks": random_image(1, *shape, bands),
        "noise": np.random.default_rng(0).integers(0, 256, (*shape, bands)).astype(np.uint8),
        "flat": np.full((*shape, bands), 7, np.uint8),
        "gradient": (np.mgrid[:150, :210].sum(axis=0)[:, :, None] // 2).repeat(bands, axis=2).astype(np.uint8),
    }[kind]
    for segments in (25, 100, 400):
        count = slic(pixels, masks(shape)[mask], segments, 10.0).max() + 1
        assert 0.95 * segments <= count <= segments


def test_every_superpixel_is_uniform_where_the_image_is() -> None:
    """Blocks of 12 x 12 pixels in random colours, as many as superpixels: they are found."""
    random = np.random.default_rng(1)
    blocks = np.arange(100).reshape(10, 10).repeat(12, axis=0).repeat(12, axis=1)
    pixels = random.integers(0, 256, (100, 3))[blocks].astype(np.uint8)
    found = slic(pixels, None, 100, 10.0)
    np.testing.assert_array_equal(found, blocks[:, :])


def test_a_part_of_a_large_image_far_from_the_corner_is_like_any_other() -> None:
    pixels = np.tile(random_image(4, 40, 40, 3), (1, 50, 1))
    found = slic(pixels, None, 50 * 10, 20.0)
    sizes = areas(found, 500)
    assert sizes.min() > 0.2 * 160
    lengths = [border_length(found[:, at : at + 400]) for at in range(0, 2000, 400)]
    assert max(lengths) < 1.1 * min(lengths)


@pytest.mark.parametrize("segments", [1, 2])
def test_positions_in_a_very_long_image_fit_into_int16(segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def gathered(planes: np.ndarray, valid: None, lattice: Lattice) -> local_kmeans.Cells:
        lengths.append((lattice.cells[:, 3] - lattice.cells[:, 2]).max())
        return local_kmeans.gathered(planes, valid, lattice)

    monkeypatch.setattr("unsegcli.core.superpixels.slic.gathered", gathered)
    found = slic(np.zeros((2, 70_000, 1), np.uint8), None, segments, 10.0)
    assert found.max() + 1 == segments
    assert max(lengths) <= np.iinfo(np.int16).max


@pytest.mark.slow  # everything is compiled again
def test_superpixels_are_the_same_on_a_processor_without_wide_registers(tmp_path: Path) -> None:
    code = """
        import hashlib
        from skimage import data
        from unsegcli.core.superpixels.slic import slic
        image, digest = data.astronaut()[100:300, 150:330], hashlib.sha256()
        for bands in (image, image[:, :, :1], image.repeat(2, axis=2)):
            for valid in (None, image[:, :, 0] > 60):
                digest.update(slic(bands, valid, 150, 10.0).tobytes())
        print(digest.hexdigest())
    """
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    digests = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=os.environ | more, check=True, capture_output=True
        ).stdout
        for more in ({}, plain)
    ]
    assert digests[0] == digests[1]
