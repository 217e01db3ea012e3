"""Windows, cores and the way back to the source's grid, by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.core.geometry import Box, boxes, cores, nearest_rows, paint, sample_nearest, working_grid
from unsegcli.errors import ConfigError, DataError

few = settings(max_examples=60)
sides = st.integers(1, 40)


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Height, width, patch and stride that fit together."""
    patch = draw(st.integers(0, 50))
    stride = draw(st.integers(0, patch))
    return draw(sides), draw(sides), patch, stride


def numbered(height: int, width: int) -> np.ndarray:
    return np.arange(height * width).reshape(height, width)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((), 1.0, (300, 401)),
        ((), 0.5, (150, 201)),  # 200.5 rounds up
        ((), 0.0001, (1, 1)),
        ((150,), 1.0, (150, 201)),
        ((600,), 1.0, (600, 802)),
        ((64, 48), 1.0, (64, 48)),
    ],
)
def test_working_grid_by_hand(size: tuple[int, ...], scale: float, expected: tuple[int, int]) -> None:
    assert working_grid(300, 401, size, scale) == expected


def test_the_shorter_side_may_be_the_width() -> None:
    assert working_grid(401, 300, (150,)) == (201, 150)
    assert working_grid(1, 1000, (5,)) == (5, 5000)
    assert working_grid(1000, 3, (1,)) == (333, 1)


@pytest.mark.parametrize(
    ("size", "scale"),
    [((64,), 0.5), ((0,), 1.0), ((5, 0), 1.0), ((1, 2, 3), 1.0), ((), 0.0), ((), -1.0), ((), float("nan"))],
)
def test_working_grid_refuses(size: tuple[int, ...], scale: float) -> None:
    with pytest.raises(ConfigError, match="--"):
        working_grid(10, 10, size, scale)


def test_a_image_without_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="0 x 5"):
        working_grid(0, 5)


def test_boxes_by_hand() -> None:
    assert boxes(5, 7) == [Box(0, 0, 5, 7)]
    assert boxes(4, 7, patch=3) == [Box(t, left, 3, 3) for t in (0, 1) for left in (0, 3, 4)]
    assert boxes(2, 7, patch=4, stride=2) == [Box(0, 0, 2, 4), Box(0, 2, 2, 4), Box(0, 3, 2, 4)]
    assert boxes(4, 4, patch=4, stride=1) == [Box(0, 0, 4, 4)]


@pytest.mark.parametrize(("patch", "stride"), [(4, 5), (-1, 0), (4, -1), (0, 3)])
def test_boxes_refuse(patch: int, stride: int) -> None:
    with pytest.raises(ConfigError, match="--stride"):
        boxes(10, 10, patch, stride)


def test_overlap_is_cut_halfway() -> None:
    # Columns 0-5 and 4-9 overlap in 4 and 5; columns 4-9 and 5-10 overlap in 5 to 9, cut at (5 + 10) // 2.
    owned = cores(boxes(1, 11, patch=6, stride=4))
    assert [(core.left, core.right) for core in owned] == [(0, 5), (5, 7), (7, 11)]


@few
@given(cuttings())
def test_each_pixel_is_in_exactly_one_core_and_cores_are_in_their_windows(
    cutting: tuple[int, int, int, int],
) -> None:
    height, width, patch, stride = cutting
    windows = boxes(height, width, patch, stride)
    owners = np.zeros((height, width), int)
    for window, core in zip(windows, cores(windows), strict=True):
        owners[core.slices] += 1
        assert window.top <= core.top < core.bottom <= window.bottom
        assert window.left <= core.left < core.right <= window.right
        assert (window.height, window.width) == (windows[0].height, windows[0].width)
    assert (owners == 1).all()


@few
@given(cuttings(), st.randoms(use_true_random=False))
def test_painting_what_was_cut_gives_the_whole(cutting: tuple[int, int, int, int], random: object) -> None:
    height, width, patch, stride = cutting
    whole = numbered(height, width)
    windows = boxes(height, width, patch, stride)
    random.shuffle(windows)  # type: ignore[attr-defined]
    painted = paint([whole[window.slices] for window in windows], windows, whole.shape, whole.shape)
    np.testing.assert_array_equal(painted, whole)


@few
@given(cuttings(), st.integers(0, 25), st.integers(0, 25))
def test_painting_an_enlarged_image_back_gives_the_source(
    cutting: tuple[int, int, int, int], more_rows: int, more_columns: int
) -> None:
    height, width, patch, stride = cutting
    source = numbered(height, width)
    grid = (height + more_rows, width + more_columns)
    working = sample_nearest(source, grid)
    windows = boxes(*grid, patch, stride)
    painted = paint([working[window.slices] for window in windows], windows, grid, source.shape)
    np.testing.assert_array_equal(painted, source)


@few
@given(cuttings(), sides, sides)
def test_painting_onto_any_source_reads_the_pixel_under_the_centre(
    cutting: tuple[int, int, int, int], rows: int, columns: int
) -> None:
    height, width, patch, stride = cutting
    working = numbered(height, width)
    windows = boxes(height, width, patch, stride)
    painted = paint([working[window.slices] for window in windows], windows, (height, width), (rows, columns))
    for row in range(rows):
        for column in range(columns):
            expected = working[(2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)]
            assert painted[row, column] == expected


def test_nearest_rows_by_hand() -> None:
    assert nearest_rows(6, 3).tolist() == [1, 3, 5]  # 0.5 * 2 = 1, 1.5 * 2 = 3, 2.5 * 2 = 5
    assert nearest_rows(2, 5).tolist() == [0, 0, 1, 1, 1]  # 0.2, 0.6, 1.0, 1.4, 1.8
    assert nearest_rows(1, 4).tolist() == [0, 0, 0, 0]


def test_nearest_rows_stay_exact_for_large_images() -> None:
    assert nearest_rows(3_000_000_000, 3)[-1] == 2_500_000_000


def test_bands_and_dtype_survive() -> None:
    whole = np.arange(4 * 5 * 3, dtype=np.uint16).reshape(4, 5, 3)
    windows = boxes(4, 5, patch=3)
    painted = paint([whole[window.slices] for window in windows], windows, (4, 5), (4, 5))
    assert painted.dtype == np.uint16
    np.testing.assert_array_equal(painted, whole)
    sampled = sample_nearest(whole, (2, 5))
    np.testing.assert_array_equal(sampled, whole[[1, 3]])


def test_sampling_the_same_grid_gives_a_copy() -> None:
    array = numbered(3, 4)
    sampled = sample_nearest(array, (3, 4))
    sampled[:] = 0
    assert array.any()


def test_missing_moved_or_doubled_windows_are_named() -> None:
    windows = boxes(6, 9, patch=3)
    maps = [np.zeros((3, 3), int)] * len(windows)
    with pytest.raises(DataError, match="6 maps for 5"):
        paint(maps, windows[:-1], (6, 9), (6, 9))
    for without in range(6):
        with pytest.raises(DataError, match="do not cover"):
            paint(maps[1:], windows[:without] + windows[without + 1 :], (6, 9), (6, 9))
    with pytest.raises(DataError, match="do not cover"):
        paint(maps, [*windows[:-1], windows[0]], (6, 9), (6, 9))
    with pytest.raises(DataError, match="do not cover"):
        paint(maps, windows, (7, 9), (6, 9))
    with pytest.raises(DataError, match="do not cover"):
        paint([], [], (6, 9), (6, 9))
    with pytest.raises(DataError, match="3 x 2 pixels for a window of 3 x 3"):
        paint([np.zeros((3, 2), int), *maps[1:]], windows, (6, 9), (6, 9))
