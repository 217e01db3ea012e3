"""Phases of one image, by hand: thresholds, k-means, which phase is background, and how sure pixels are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.saliency import phases
from unsegcli.core.saliency.phases import Phases, background_of, objectness, phases_by_kmeans, phases_by_otsu

Divide = Callable[..., Phases]
BOTH = pytest.mark.parametrize("divide", [phases_by_otsu, phases_by_kmeans])


def image(*rows: list[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A grey image and its valid pixels: all but those of brightness 99."""
    pixels = np.array(rows, np.uint8)[:, :, None]
    return pixels, pixels[:, :, 0] != 99


@BOTH
def test_phases_are_numbered_by_brightness(divide: Divide) -> None:
    pixels, valid = image([9, 201, 10], [99, 90, 200], [9, 91, 10])
    middle = 0 if divide is phases_by_kmeans else 1  # the root of 90 is nearer to that of 200 than to that of 10
    assert divide(pixels, valid, 2).numbers.tolist() == [[0, 1, 0], [-1, middle, 1], [0, middle, 0]]
    assert divide(pixels, valid, 3).numbers.tolist() == [[0, 2, 0], [-1, 1, 2], [0, 1, 0]]


def test_dim_objects_are_objects_beside_bright_ones() -> None:
    # Values 1, 81 and 225: 81 is nearer to 1. Roots 1, 9 and 15: 9 is nearer to 15.
    pixels, valid = image([1, 1, 1, 1], [1, 1, 1, 1], [81, 81, 225, 225])
    assert phases_by_otsu(pixels, valid, 2).numbers[2].tolist() == [1, 1, 1, 1]
    assert phases_by_kmeans(pixels, valid, 2).numbers[2].tolist() == [0, 0, 1, 1]


@BOTH
@pytest.mark.parametrize("phases", [2, 3])
def test_one_colour_is_one_phase(divide: Divide, phases: int) -> None:
    pixels, valid = image([7, 7], [7, 99])
    found = divide(pixels, valid, phases)
    assert found.numbers.tolist() == [[0, 0], [0, -1]]
    assert found.separation == 0
    assert background_of(found.numbers, "bright") == background_of(found.numbers, "auto") == 0
    assert (objectness(found, 0) == 0).all()


def test_kmeans_sees_colours_that_are_equally_bright() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[:, 0], pixels[:, 1:] = (90, 0, 0), (0, 0, 90)
    valid = np.ones((2, 3), np.bool_)
    found = phases_by_kmeans(pixels, valid, 2)
    assert len(np.unique(found.numbers[:, 0])) == len(np.unique(found.numbers[:, 1:])) == 1
    assert found.numbers[0, 0] != found.numbers[0, 1]
    assert found.separation == pytest.approx(1)
    assert phases_by_otsu(pixels, valid, 2).separation == 0


def test_kmeans_of_a_large_image_is_fitted_on_pixels_from_all_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "FITTED", 40)
    pixels = np.full((40, 100, 1), 10, np.uint8)
    pixels[:, 50:] = 200
    found = phases_by_kmeans(pixels, np.ones((40, 100), np.bool_), 2)
    assert found.numbers[0].tolist() == [0] * 50 + [1] * 50
    lonely = np.zeros((40, 100), np.bool_)
    lonely[3, 49:51] = True  # between the pixels of the grid
    assert phases_by_kmeans(pixels, lonely, 2).numbers[3, 49:51].tolist() == [0, 1]


def test_separation_is_the_share_of_variance_between_phases() -> None:
    # Roots 0 0 2 2 and 10: means 1 and 10, within 4; mean 2.8, total 108 - 5 * 7.84 = 68.8.
    pixels, valid = image([0, 0, 4, 4, 100])
    assert phases_by_otsu(pixels, valid, 2).separation == pytest.approx(1 - 4 / 68.8)
    # Values 0 0 4 4 and 100: means 2 and 100, within 16; mean 21.6, total 10032 - 5 * 466.56 = 7699.2.
    assert phases_by_kmeans(pixels, valid, 2).separation == pytest.approx(1 - 16 / 7699.2)


RING: Any = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_background_covers_more_of_the_border() -> None:
    ring = np.array(RING, np.int32)
    assert background_of(ring, "auto") == 0
    assert background_of(1 - ring, "auto") == 1
    large = np.pad(np.ones((6, 6), np.int32), ((1, 0), (1, 1)))  # most of the image, but little of its border
    assert background_of(large, "auto") == 0
    void = np.pad(ring, 2, constant_values=-1)
    void[0, :] = 1  # eight pixels of another island are border too: 8 against 12
    assert background_of(void, "auto") == 0
    void[-1, :] = 1
    assert background_of(void, "auto") == 1


@pytest.mark.parametrize(("polarity", "background"), [("bright", 0), ("dark", 1), ("auto", 0)])
def test_polarity_says_which_side_is_background(polarity: str, background: int) -> None:
    assert background_of(np.array(RING, np.int32), polarity) == background


def test_the_middle_phase_is_never_background() -> None:
    numbers = np.array([[1, 1, 1], [1, 0, 2], [1, 2, 2]], np.int32)
    assert background_of(numbers, "auto") == 2  # 3 pixels of the border against none
    assert background_of(numbers, "bright") == 0


def test_objectness_is_the_distance_from_the_background_over_both() -> None:
    pixels, valid = image([0, 0, 10, 100, 100, 90])
    found = phases_by_kmeans(pixels, valid, 2)  # means 10/3 and 290/3
    near = objectness(found, 0)[0]
    assert near[2] == pytest.approx((20 / 3) / (20 / 3 + 260 / 3))
    assert objectness(found, 1)[0][2] == pytest.approx(1 - near[2])
    assert (near[3:] > 0.9).all()


def test_many_levels_are_rounded_for_three_phases() -> None:
    ramp = np.concatenate([mean + np.linspace(0, 20, 480) for mean in (40, 110, 200)])[:, None, None]
    bands = (ramp + np.arange(25) / 25).astype(np.uint8)  # means in steps of 1 / 25
    found = phases_by_otsu(bands, np.ones((1440, 1), np.bool_), 3)
    assert len(np.unique(found.values)) > 1024
    assert found.numbers[:, 0].tolist() == [0] * 480 + [1] * 480 + [2] * 480
