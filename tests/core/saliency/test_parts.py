"""Images in two parts or more: right where the parts are obvious, and a defined result where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.saliency.iem import Inpainter, centred_square
from unsegcli.core.saliency.parts import FEW_PARTS, NO_PIXEL, ONE_COLOUR, ONE_SIDED, STOPPED, Ascending, Parted, part

SETTINGS = Ascending(Inpainter(), 1e-3, 150)
SIDE = 96
START = centred_square(SIDE, SIDE, 0.6)


def scene(objects: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark noisy image with up to three bright noisy objects, and the map of them: 0 = background."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    shapes = [
        np.hypot(rows - 48, columns - 29) < 14,
        (abs(rows - 48) < 14) & (abs(columns - 67) < 13),
        (abs(rows - 76) < 10) & (abs(columns - 48) < 28),
    ]
    truth = np.zeros((SIDE, SIDE), int)
    for number, shape in enumerate(shapes[:objects], 1):
        truth[shape] = number
    colours = np.array([[40, 40, 40], [230, 60, 50], [60, 80, 240], [80, 230, 60]])
    noise = np.random.default_rng(1).normal(0, 15, (SIDE, SIDE, 3))
    return np.clip(colours[truth] + noise, 0, 255).astype(np.uint8), truth


def check(found: Parted, valid: np.ndarray, count: int) -> None:
    """Whatever a result must fulfil."""
    assert found.parts.dtype == np.int32
    np.testing.assert_array_equal(found.parts >= 0, valid)
    assert found.parts.max() < count
    assert 0 <= found.confidence <= 1
    assert found.objectness.min() >= 0
    assert found.objectness.max() <= 1


def best_share(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of pixels in the commonest pairing of each part with a true region."""
    counts = np.zeros((found.max() + 1, truth.max() + 1))
    np.add.at(counts, (found.ravel(), truth.ravel()), 1)
    return float(counts.max(axis=1).sum() / truth.size)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("start", [START, np.zeros_like(START), np.ones_like(START)], ids=["square", "empty", "full"])
def test_each_object_becomes_a_part(count: int, start: np.ndarray) -> None:
    pixels, truth = scene(count - 1)
    found = part(pixels, None, start, SETTINGS, count)
    check(found, np.ones((SIDE, SIDE), bool), count)
    assert np.unique(found.parts).tolist() == list(range(count))
    assert best_share(found.parts, truth) > 0.98
    assert found.confidence > 0.6
    assert found.warning == ("" if start is START else ONE_SIDED)


def test_first_split_is_the_same_for_any_number_of_parts() -> None:
    pixels, _ = scene(3)
    two, four = (part(pixels, None, START, SETTINGS, count) for count in (2, 4))
    np.testing.assert_array_equal(two.objectness, four.objectness)
    for number in range(4):
        assert len(np.unique(two.parts[four.parts == number])) == 1


def test_foreground_is_one_and_background_zero() -> None:
    pixels, truth = scene(1)
    found = part(pixels, None, START, SETTINGS)
    assert (found.parts == truth).mean() > 0.98
    assert found.objectness[truth == 1].mean() > 0.8
    assert found.objectness[truth == 0].mean() < 0.2


def test_object_is_found_where_a_mask_leaves_it() -> None:
    pixels, truth = scene(1)
    valid = np.ones((SIDE, SIDE), bool)
    valid[:48] = False
    found = part(pixels, valid, START, SETTINGS)
    check(found, valid, 2)
    assert (found.parts == truth)[valid].mean() > 0.98


@pytest.mark.parametrize("count", [2, 4])
def test_one_colour_is_all_background(count: int) -> None:
    pixels = np.full((20, 30, 3), 77, np.uint8)
    found = part(pixels, None, centred_square(20, 30, 0.6), SETTINGS, count)
    check(found, np.ones((20, 30), bool), 1)
    assert (found.confidence, found.warning) == (0.0, ONE_COLOUR)


def test_one_colour_in_all_valid_pixels_is_all_background() -> None:
    pixels, _ = scene(2)
    valid = np.zeros((SIDE, SIDE), bool)
    valid[10:40, 10:40] = True
    pixels[valid] = 9
    found = part(pixels, valid, START, SETTINGS)
    check(found, valid, 1)
    assert found.warning == ONE_COLOUR


def test_no_valid_pixel_gives_no_part() -> None:
    pixels, _ = scene(2)
    found = part(pixels, np.zeros((SIDE, SIDE), bool), START, SETTINGS, 3)
    check(found, np.zeros((SIDE, SIDE), bool), 1)
    assert (found.confidence, found.warning) == (0.0, NO_PIXEL)


def test_fewer_parts_than_asked_for() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:30, 10:30] = 200
    found = part(pixels, None, centred_square(40, 40, 0.6), SETTINGS, 4)
    check(found, np.ones((40, 40), bool), 2)
    assert found.warning == FEW_PARTS


def test_a_side_that_would_vanish_is_kept_and_said() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    start = np.zeros((12, 12), bool)
    start[6, 6] = True
    found = part(pixels, None, start, Ascending(Inpainter(2.0, 5, 2), 1e-3, 50))
    np.testing.assert_array_equal(found.parts, start)
    assert found.warning == STOPPED


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 3), (1, 50), (60, 2)])
@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("count", [2, 5])
def test_tiny_images_give_a_result(shape: tuple[int, int], bands: int, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, bands)).astype(np.uint8)
    check(part(pixels, None, centred_square(*shape, 0.6), SETTINGS, count), np.ones(shape, bool), count)
