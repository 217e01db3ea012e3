"""Compose one panel from arrays: its tiles, captions and keys. Drawing is in `drawing`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import sample_nearest
from unsegcli.core.palette import MOST_DISTINCT, palette
from unsegcli.views import drawing
from unsegcli.views.categories import Categories, Colors
from unsegcli.views.display import Displayed, displayed
from unsegcli.views.drawing import Color, Key, Rgb, Tile

CELL = 160  # longer side of an image on the contact sheet
LEAST_AREA, SHOWN_AREA = 50, 150  # tile pixels per superpixel: minimum, and after enlarging the centre if below it
BLANK = 245  # grey value in place of a missing image
BRIGHTENED = "brightened for display"
RED: Color = (204, 20, 20)


@dataclass(frozen=True)
class Content:
    """Everything a panel can show of one image."""

    name: str
    source: tuple[int, int]  # height and width of the image as shown
    role: str  # clusters classes mask superpixels
    grid: tuple[int, int]  # height and width of the working image
    values: NDArray[np.int32]  # (height, width) the label map on that grid, or the page's smaller one; negative = void
    categories: Categories | None  # None: superpixels
    areas: Sequence[int] = ()  # source pixels of each category, and of void
    pixels: NDArray[np.uint8] | None = None  # (height, width, bands) of the working image; shrunk if it is large
    bands: int = 0  # of the working image
    regions: NDArray[np.int32] | None = None  # (height, width) the superpixels that a segmentation came from
    superpixels: int = 0  # their number
    centre: Callable[[float], tuple[NDArray[np.int32], NDArray[np.uint8]] | None] | None = None
    """Reads superpixels and pixels of the centre of a large image, of which `pixels` shows too little."""
    truth: NDArray[Any] | None = None  # (height, width) classes on the labels' own grid; negative = not scored
    annotators: int = 1
    predicted: NDArray[np.int32] | None = None  # the label map on the labels' grid; only panels need it
    called: str = ""  # heading of the label map; "" = its role


def compose(content: Content) -> Rgb:
    """Draw one panel."""
    shape = content.values.shape if content.pixels is None else content.pixels.shape
    grid = drawing.tile_grid(shape[0], shape[1])
    shown = _shown_pixels(content)
    rgb = None if shown is None else shown.rgb
    image = None if rgb is None else drawing.fitted(rgb, grid)
    wrong, _ = _wrong(content)
    brighter = f", {BRIGHTENED}" if shown is not None and shown.brighter else ""
    first = [] if image is None else [Tile(_bands(content) + brighter, image)]
    main = _superpixel_tiles(content, rgb, grid) if content.categories is None else _map_tiles(content, rgb, grid)
    tiles = [*first, *main, *_truth_tiles(content, image, grid), *_error_tiles(content, wrong, image, grid)]
    return drawing.panel(f"{content.name}, {_sizes(content)}", tiles, _keys(content, content.areas))


def sheet_cell(content: Content, image: Rgb | None) -> Rgb:
    """Draw the image as shown, its label map and its truth, small and side by side, for a contact sheet."""
    shape = content.values.shape if image is None else image.shape
    factor = min(1.0, CELL / max(shape[:2]))
    grid = max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
    small = None if image is None else drawing.fitted(image, grid)
    if content.categories is not None:
        seen = _painted(sample_nearest(content.values, grid), content.categories.colors, small)
    elif image is None:
        seen = np.full((*grid, 3), BLANK, np.uint8)
    else:  # mean colours, since outlines are too dense for a small image
        seen = _mean_tile(content, image, grid)
    truth = [tile.image for tile in _truth_tiles(content, small, grid)]
    return drawing.beside([*([] if small is None else [small]), seen, *truth])


def _shown_pixels(content: Content) -> Displayed | None:
    return None if content.pixels is None else displayed(content.pixels, content.values)


# Facts


def _sizes(content: Content) -> str:
    """Describe the size of the image, and of the working image if it differs."""
    (height, width), (rows, columns) = content.source, content.grid
    worked = "" if (rows, columns) == (height, width) else f", worked on at {columns} x {rows}"
    return f"{width} x {height} pixels{worked}"


def _wrong(content: Content) -> tuple[NDArray[np.bool_] | None, int]:
    """Return the wrong pixels on the grid of the labels and the number of scored pixels; None, 0 if unknown."""
    if content.truth is None or content.predicted is None or content.categories is None:
        return None, 0
    if content.categories.class_of is None:
        return None, 0
    return wrong_pixels(content.predicted, content.truth, content.categories.class_of, content.role)


def wrong_pixels(
    predicted: NDArray[np.int32], truth: NDArray[Any], class_of: Sequence[int], role: str
) -> tuple[NDArray[np.bool_], int]:
    """Return the wrong pixels (height, width), and the number of scored pixels.

    Args:
        predicted: (height, width) categories; negative = void, which is wrong.
        truth: (height, width) classes; negative = not scored.
        class_of: the class of each category, -1 = none.
        role: of the label map; in a mask all objects are one class.
    """
    table = np.array([*class_of, -1], np.int64)
    void = (predicted < 0) | (predicted >= len(class_of))
    found = table[np.where(void, len(class_of), predicted)]
    classes = np.sign(truth) if role == "mask" else truth
    scored = classes >= 0
    return (found != classes) & scored, int(scored.sum())


# Tiles


def _bands(content: Content) -> str:
    more = f"image (bands 1 to 3 of {content.bands})"
    return {1: "image", 2: "image (band 1 of 2)", 3: "image"}.get(content.bands, more)


def _superpixel_tiles(content: Content, rgb: Rgb | None, grid: tuple[int, int]) -> list[Tile]:
    blank = np.full((*content.values.shape, 3), BLANK, np.uint8) if rgb is None else rgb
    found = [] if rgb is None else [Tile("mean colours", _mean_tile(content, rgb, grid))]
    return [*found, _outlines(content, content.values, blank, grid)]


def _mean_tile(content: Content, rgb: Rgb, grid: tuple[int, int]) -> Rgb:
    regions = content.values if content.values.shape == rgb.shape[:2] else sample_nearest(content.values, rgb.shape[:2])
    return drawing.fitted(drawing.mean_colors(rgb, regions), grid)


def _outlines(content: Content, regions: NDArray[np.int32], rgb: Rgb, grid: tuple[int, int]) -> Tile:
    """Draw superpixel outlines; if they are too dense, show only the enlarged centre of the image."""
    caption = f"{content.superpixels:,} superpixels"
    area = grid[0] * grid[1] / max(1, content.superpixels)
    if area < LEAST_AREA:
        share = math.sqrt(area / SHOWN_AREA)
        regions, rgb = _centre(content, regions, rgb, share)
        caption += f": centre, enlarged {1 / share:.1f} times"
    return Tile(caption, drawing.outlined(drawing.fitted(rgb, grid), sample_nearest(regions, grid)))


def _centre(content: Content, regions: NDArray[np.int32], rgb: Rgb, share: float) -> tuple[NDArray[np.int32], Rgb]:
    read = None if content.centre is None or content.pixels is None else content.centre(share)
    if read is not None:
        return read[0], displayed(read[1], read[0]).rgb
    return regions[drawing.middle(regions.shape, share)], rgb[drawing.middle(rgb.shape, share)]


def _map_tiles(content: Content, rgb: Rgb | None, grid: tuple[int, int]) -> list[Tile]:
    if content.categories is None:
        return []
    small, colors = sample_nearest(content.values, grid), content.categories.colors
    found = []
    if content.regions is not None and rgb is not None:
        found.append(_outlines(content, content.regions, rgb, grid))
    return [
        *found,
        Tile(
            content.called or content.role, _painted(small, colors, None if rgb is None else drawing.fitted(rgb, grid))
        ),
    ]


def _painted(labels: NDArray[Any], colors: Colors, image: Rgb | None) -> Rgb:
    return drawing.colored(labels, colors) if image is None else drawing.overlaid(image, labels, colors)


def _truth_tiles(content: Content, image: Rgb | None, grid: tuple[int, int]) -> list[Tile]:
    if content.truth is None:
        return []
    caption = "truth" if content.annotators == 1 else f"truth (1 of {content.annotators} annotators)"
    small = sample_nearest(content.truth, grid)
    if content.categories is None:
        blank = np.full((*grid, 3), BLANK, np.uint8) if image is None else image
        return [Tile(caption, drawing.outlined(blank, small))]
    numbers, colors = _renumbered(content, small)
    return [Tile(caption, _painted(numbers, colors, image))]


def _renumbered(content: Content, truth: NDArray[Any]) -> tuple[NDArray[Any], Colors]:
    """Renumber the truth if there are no colours for its values; without a legend labels may have any value."""
    known = _class_colors(content)
    if content.role == "mask":
        return np.sign(truth), known
    if len(known) and truth.max(initial=-1) < len(known):
        return truth, known
    numbers, inverse = np.unique(truth, return_inverse=True)
    first = int(numbers[0] < 0)
    return inverse.reshape(truth.shape) - first, palette(MOST_DISTINCT)[numbers[first:] % MOST_DISTINCT]


def _class_colors(content: Content) -> Colors:
    return np.zeros((0, 3), np.uint8) if content.categories is None else content.categories.class_colors


def _error_tiles(
    content: Content, wrong: NDArray[np.bool_] | None, image: Rgb | None, grid: tuple[int, int]
) -> list[Tile]:
    if wrong is None or content.truth is None:
        return []
    scored = content.truth >= 0
    share = f" ({wrong.sum() / scored.sum():.1%} wrong)" if scored.any() else ""
    under = np.full((*grid, 3), BLANK, np.uint8) if image is None else image
    return [Tile(f"errors{share}", drawing.errors(under, sample_nearest(wrong, grid), sample_nearest(scored, grid)))]


# Keys


def _keys(content: Content, counts: Sequence[int]) -> list[Key]:
    categories = content.categories
    if categories is None:
        void = bool((content.values < 0).any())
        return [Key("", (("void", None),))] if void else []
    own = categories.entries(counts)
    theirs = _class_entries(content)
    marks: list[tuple[str, Color | None]] = []
    if counts[-1]:
        marks.append(("void", None))
    if content.truth is not None and (content.truth < 0).any():
        marks.append(("not scored", None))
    if content.truth is not None and content.predicted is not None and categories.class_of is not None:
        marks += [("right", drawing.RIGHT), ("wrong", RED)]
    if content.truth is None or categories.shared:
        colors = {color for _, color in own}
        return [Key("", (*own, *(entry for entry in theirs if entry[1] not in colors), *marks))]
    return [Key(content.called or content.role, tuple(own)), Key("truth", (*theirs, *marks))]


def _class_entries(content: Content) -> list[tuple[str, Color]]:
    """Return name and colour of each class in the truth of this image."""
    if content.truth is None or content.categories is None:
        return []
    truth, names = content.truth, content.categories.class_names
    present = [int(number) for number in np.unique(np.sign(truth) if content.role == "mask" else truth) if number >= 0]
    colors = _class_colors(content)
    if not present or present[-1] >= len(colors):
        own = palette(MOST_DISTINCT)
        return [(f"class {number}", _color(own[number % MOST_DISTINCT])) for number in present]
    return [(names[number], _color(colors[number])) for number in present]


def _color(values: NDArray[np.uint8]) -> Color:
    return int(values[0]), int(values[1]), int(values[2])
