"""The strip of a mask's way: one tile a frame, with the outline where the mask ends."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from unsegcli.views import drawing
from unsegcli.views.strip import SMALLEST, strip


def shown(pixels: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """The strip, decoded."""
    page = strip("a title", pixels, [(f"frame {number}", mask) for number, mask in enumerate(masks)])
    with Image.open(io.BytesIO(page)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count_of(page: np.ndarray, colour: Sequence[int]) -> int:
    return int((page == np.array(colour)).all(axis=2).sum())


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_each_frame_is_a_copy_of_the_image_with_its_outline(bands: int) -> None:
    pixels = np.full((300, 260, bands), 137, np.uint8)
    empty, half = np.zeros((300, 260), np.int32), np.repeat(np.arange(2), 130)[None].repeat(300, axis=0)
    plain, outlined = (count_of(shown(pixels, [empty, mask]), (137, 137, 137)) for mask in (empty, half))
    assert plain == 2 * 300 * 260
    assert plain - outlined == 300 * 1, "one column of outline in the second frame"


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    pixels = np.full((10, 20, 3), 137, np.uint8)
    factor = -(-SMALLEST // 20)
    assert count_of(shown(pixels, [np.zeros((10, 20), np.int32)]), (137,) * 3) == 10 * 20 * factor**2


def test_outline_of_a_part_of_the_image_that_is_void() -> None:
    pixels = np.full((300, 260, 3), 20, np.uint8)
    parts = np.where(np.arange(260) < np.full((300, 1), 50), -1, 0)
    assert count_of(shown(pixels, [parts]), drawing.OUTLINES[0].tolist()) >= 300
