"""Costs are measured on about a megapixel, whatever there is, and come out as if all of it had been measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unsegcli import store
from unsegcli.core.geometry import Box, boxes
from unsegcli.dataflow.dataset import Block, Window
from unsegcli.dataflow.estimates import PIXELS_DECODED, PIXELS_TO_WARM_UP, PIXELS_WORKED_ON, measured, part_of
from unsegcli.dataflow.runner import Result
from unsegcli.errors import DataError
from unsegcli.images.working import Reading, Source
from unsegcli.params import Superpixels
from unsegcli.stages.superpixels import cut_into_superpixels
from unsegcli.store.chunks import Chunk

READING = Reading("auto", (), "none", 3, "bytes", None, (1, 99), "folder", (), 1.0, 1 << 40)


def window_of(box: Box, grid: tuple[int, int], **more: Any) -> Window:
    return Window(box, grid, np.zeros((box.height, box.width, 3), np.uint8), None, "key", "name", **more)


@dataclass
class FakeUnit:
    """A source image of any size, without a file; `decoded` counts how often it was read."""

    height: int
    width: int
    patch: int = 0
    broken: bool = False
    decoded: list[int] = field(default_factory=list)
    reading: Reading = READING
    block: Block | None = None

    @property
    def source(self) -> Source:
        return Source("a", "/a", 0, "", 0, 0, self.height, self.width, 1, ((0.0, 255.0),) * 3)

    @property
    def window_count(self) -> int:
        return len(boxes(self.height, self.width, self.patch, 0))

    def in_windows(self) -> list[FakeUnit]:
        return [self]

    def windows(self) -> list[Window]:
        self.decoded.append(self.height * self.width)
        if self.broken:
            raise DataError("broken")
        grid = (self.height, self.width)
        return [window_of(box, grid) for box in boxes(*grid, self.patch, 0)]


class Counting:
    """Work that stores a byte for each pixel, and counts the pixels that it was given."""

    def __init__(self) -> None:
        self.pixels: list[int] = []

    def __call__(self, window: Window) -> Result:
        self.pixels.append(window.pixels.shape[0] * window.pixels.shape[1])
        stored = store.Encoded("|u1", (1,), (1,), (Chunk((0,), 0, bytes(self.pixels[-1])),), b"")
        return Result({"superpixels": stored}, {})


CASES = {
    "one large image": [FakeUnit(3000, 3000)],
    "a strip": [FakeUnit(1, 5_000_000)],
    "many small images": [FakeUnit(60, 80) for _ in range(500)],
    "large images": [FakeUnit(1500, 2000) for _ in range(10)],
    "many windows": [FakeUnit(2000, 2000, patch=64)],
    "large windows": [FakeUnit(2048, 2048, patch=1024) for _ in range(4)],
    "one pixel": [FakeUnit(1, 1)],
}


@pytest.mark.parametrize("case", CASES)
def test_no_more_than_a_megapixel_is_worked_on(case: str) -> None:
    units, work = CASES[case], Counting()
    cost = measured(units, work)
    assert sum(work.pixels) <= PIXELS_WORKED_ON + cost.images * PIXELS_TO_WARM_UP
    # Windows at the border may overlap, and these pixels are stored twice.
    stored = sum(box.height * box.width for unit in units for box in boxes(unit.height, unit.width, unit.patch, 0))
    share = sum(unit.height * unit.width for unit in units) / cost.pixels
    assert cost.stored_bytes * share == pytest.approx(stored, rel=1e-6)


def test_of_images_that_are_very_large_one_is_decoded_and_once() -> None:
    units = [FakeUnit(1, PIXELS_DECODED // 2) for _ in range(5)]
    cost = measured(units, Counting())
    assert cost.images == 1
    assert sum(len(unit.decoded) for unit in units) == 1


def test_images_are_taken_from_all_of_the_list_and_broken_ones_cost_nothing() -> None:
    units = [FakeUnit(10, 10, broken=number == 3) for number in range(9)]
    cost = measured(units, Counting())
    assert [bool(unit.decoded) for unit in units] == [number % 3 == 0 for number in range(9)]
    assert (cost.images, cost.pixels, cost.stored_bytes) == (3, 300, 200)


def test_a_part_is_the_middle_with_its_own_superpixels() -> None:
    rows, columns = np.mgrid[:8, :12]
    regions = (rows // 2 * 6 + columns // 2).astype(np.uint16)
    regions[:, 5] = 65535
    pixels = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    features = np.arange(24, dtype=np.float32)[:, None] * 10
    whole = Window(Box(100, 50, 8, 12), (300, 300), pixels, regions != 65535, "k", "n", regions, features)
    part = part_of(whole, 24)
    assert part.box == Box(102, 53, 4, 6)
    np.testing.assert_array_equal(part.pixels, pixels[2:6, 3:9])
    assert part.regions is not None
    assert part.features is not None
    assert part.valid is not None
    np.testing.assert_array_equal(part.valid, part.regions != 65535)
    assert part.share == 24 / 96
    inside = part.valid
    np.testing.assert_array_equal(np.unique(part.regions[inside]), np.arange(len(part.features)))
    np.testing.assert_array_equal(part.features[part.regions[inside]][:, 0], regions[2:6, 3:9][inside] * 10)


def test_what_is_small_is_taken_as_it_is() -> None:
    window = window_of(Box(0, 0, 5, 5), (5, 5))
    assert part_of(window, 25) is window


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (3, 700), (33, 31), (999, 1000)])
@pytest.mark.parametrize("pixels", [1, 2, 30, 499])
def test_a_part_is_never_larger_than_asked_and_seldom_much_smaller(shape: tuple[int, int], pixels: int) -> None:
    part = part_of(window_of(Box(0, 0, *shape), shape), pixels)
    found = part.box.height * part.box.width
    assert part.pixels.shape[:2] == (part.box.height, part.box.width)
    assert pixels / 2 <= found <= pixels


def test_a_part_gets_its_share_of_the_superpixels() -> None:
    random = np.random.default_rng(0)
    whole = window_of(Box(0, 0, 200, 200), (200, 200))
    whole.pixels[:] = random.integers(0, 256, (25, 25, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    params = Superpixels(segments=400, compactness=100)
    counts = [cut_into_superpixels(one, params).row["superpixels"] for one in (whole, part_of(whole, 10_000))]
    assert counts[1] == pytest.approx(counts[0] / 4, rel=0.2)


def test_a_dry_run_of_a_large_image_works_on_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from called import superpixels

    from unsegcli.segmenters import cutting

    shapes = []

    def grid(pixels: np.ndarray, valid: Any, aim: int, params: Superpixels, report: Any) -> np.ndarray:
        shapes.append(pixels.shape[:2])
        return np.zeros(pixels.shape[:2], np.int32)

    monkeypatch.setitem(cutting.ALGORITHMS, "slic", grid)
    caplog.set_level("INFO", "unseg")
    np.save(tmp_path / "large.npy", np.zeros((3000, 2000, 3), np.uint8))
    superpixels([tmp_path / "large.npy"], tmp_path / "sp.h5", dry_run=True)
    assert sum(height * width for height, width in shapes) <= PIXELS_WORKED_ON + PIXELS_TO_WARM_UP
    assert "1 image" in caplog.text
    assert "measured on parts of 1 image" in caplog.text
