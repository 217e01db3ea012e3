"""Draw outlines, coloured label maps, errors, panels and contact sheets.

Images are uint8 arrays (height, width, 3); nothing here reads or writes files.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unsegcli.core.geometry import nearest_rows, sample_nearest

Rgb = NDArray[np.uint8]
Color = tuple[int, int, int]

WHITE, INK, FAINT = (255, 255, 255), (34, 34, 34), (110, 110, 110)
VOID = np.array([(38, 38, 38), (92, 92, 92)], np.uint8)  # dark stripes, unlike any category or image
STRIPE = 3  # width of a stripe in pixels
WRONG = np.array((204, 20, 20), np.uint8)
WRONG_SHARE, PALE = 0.8, 0.7  # opacity of red on wrong pixels, of white on correct ones
RIGHT = (217, 217, 217)  # a correct pixel of medium grey
DARK = 0.35  # an image whose 99th percentile is below this share of the range is shown brighter
OUTLINES = np.array([(255, 230, 0), (0, 60, 200)], np.uint8)  # on dark and on bright surroundings
BRIGHT, SURROUNDINGS = 175.0, 16  # mean grey value, over squares of this side in pixels, that counts as bright
OVERLAY = 0.65  # opacity of the category's colour over the grey image
FADED = (140, 0.42)  # offset and contrast of that grey image, so that dark parts do not hide the colour

GUTTER, MARGIN = 10, 10
SWATCH, LINE, TITLE = 12, 20, 24
FONT_SIZE = 13
LONGEST_NAME = 40  # letters of a name in a key
SMALLEST_TILE, LARGEST_TILE = 320, 512  # of the longer side; smaller images are enlarged by an integer factor
SMALLEST_STRIP, LARGEST_STRIP = 800, 1200  # the same for wide images, which are stacked vertically
WIDE = 2.5  # aspect ratio above which an image is wide
NARROWEST_PANEL = 420
SPELT = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "×": "x",
    "–": "-",
    "—": "-",
}


@dataclass(frozen=True)
class Tile:
    """One image of a panel with its caption."""

    caption: str
    image: Rgb


@dataclass(frozen=True)
class Key:
    """A legend of colours; None = the stripes of void."""

    heading: str
    entries: tuple[tuple[str, Color | None], ...]


# One tile


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Return the displayed height and width: small images are enlarged by an integer factor, large ones shrunk."""
    wide = width > WIDE * height
    smallest, largest = (SMALLEST_STRIP, LARGEST_STRIP) if wide else (SMALLEST_TILE, LARGEST_TILE)
    longest = max(height, width)
    if longest <= largest:
        factor = max(1, smallest // longest)
        return height * factor, width * factor
    return max(1, round(height * largest / longest)), max(1, round(width * largest / longest))


def as_rgb(pixels: NDArray[np.uint8]) -> Rgb:
    """Convert any number of bands to RGB: the first three bands, or the first as grey."""
    if pixels.shape[2] >= 3:
        return np.ascontiguousarray(pixels[:, :, :3])
    return np.repeat(pixels[:, :, :1], 3, axis=2)


def brightened(image: Rgb, valid: NDArray[np.bool_]) -> Rgb | None:
    """Stretch the 1st to 99th percentile of the valid pixels of a dark image to the whole range; None if not dark.

    All bands are stretched alike, so that hues stay.
    """
    if not valid.any():
        return None
    low, high = np.percentile(image[valid], (1, 99))
    if not low < high < DARK * 255:
        return None
    stretched = (image.astype(np.float32) - low) * (255 / (high - low))
    result: Rgb = np.clip(stretched.round(), 0, 255).astype(np.uint8)
    return result


def fitted(image: Rgb, grid: tuple[int, int]) -> Rgb:
    """Resize an image to (height, width): area average to shrink, nearest neighbour to enlarge."""
    if image.shape[0] <= grid[0] and image.shape[1] <= grid[1]:
        return sample_nearest(image, grid)
    return np.asarray(Image.fromarray(image).resize((grid[1], grid[0]), Image.Resampling.BOX))


def edges(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark pixels (height, width) whose right or lower neighbour has another label."""
    found = np.zeros(labels.shape, bool)
    found[:-1] |= labels[:-1] != labels[1:]
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return found


def outlined(image: Rgb, regions: NDArray[Any]) -> Rgb:
    """Draw one-pixel outlines of the regions on an image; void is striped."""
    result = _striped(image.copy(), regions < 0)
    line = edges(regions)
    result[line] = OUTLINES[_bright_around(image)[line].astype(int)]
    return result


def _bright_around(image: Rgb) -> NDArray[np.bool_]:
    """Mark pixels (height, width) whose surroundings are too bright for a bright line."""
    height, width = image.shape[:2]
    coarse = fitted(image, (max(1, height // SURROUNDINGS), max(1, width // SURROUNDINGS)))
    bright: NDArray[np.bool_] = sample_nearest(coarse.mean(axis=2) > BRIGHT, (height, width))
    return bright


def colored(labels: NDArray[Any], colors: NDArray[np.uint8]) -> Rgb:
    """Colour a label map; negative numbers and those without a colour are striped as void."""
    table = np.vstack([colors, VOID[:1]])
    void = (labels < 0) | (labels >= len(colors))
    result: Rgb = table[np.where(void, len(colors), labels)]
    return _striped(result, void)


def overlaid(image: Rgb, labels: NDArray[Any], colors: NDArray[np.uint8]) -> Rgb:
    """Overlay the colours of a label map on the grey image; void is striped."""
    void = (labels < 0) | (labels >= len(colors))
    grey = FADED[0] + FADED[1] * _grey(image)
    colour = np.float32(OVERLAY) * colored(labels, colors)
    mixed: Rgb = (colour + (1 - OVERLAY) * grey).round().astype(np.uint8)
    return _striped(mixed, void)


def _grey(image: Rgb) -> NDArray[np.float32]:
    """Average the three colours: (height, width, 1)."""
    mean: NDArray[np.float32] = image.mean(axis=2, keepdims=True, dtype=np.float32)
    return mean


def errors(image: Rgb, wrong: NDArray[np.bool_], scored: NDArray[np.bool_]) -> Rgb:
    """Draw the image pale where the map is correct, red where it is wrong, striped where it is not scored."""
    grey = _grey(image)
    pale = PALE * 255 + (1 - PALE) * grey
    red = WRONG_SHARE * WRONG + (1 - WRONG_SHARE) * grey
    result: Rgb = np.where(wrong[:, :, None], red, pale).round().astype(np.uint8)
    return _striped(result, ~scored)


def mean_colors(image: Rgb, regions: NDArray[Any]) -> Rgb:
    """Fill each region with the mean colour of its pixels; void is striped."""
    known = regions >= 0
    result = stripes(regions.shape)
    if known.any():
        numbers, inverse = np.unique(regions[known], return_inverse=True)
        count = np.bincount(inverse, minlength=len(numbers))
        means = [np.bincount(inverse, image[:, :, band][known], len(numbers)) / count for band in range(3)]
        result[known] = np.stack(means, axis=1).round().astype(np.uint8)[inverse]
    return result


def _striped(image: Rgb, void: NDArray[np.bool_]) -> Rgb:
    """Draw stripes where void (height, width), in place."""
    if void.any():
        image[void] = stripes(void.shape)[void]
    return image


def stripes(shape: tuple[int, ...]) -> Rgb:
    """Make diagonal stripes (height, width, 3), which mark void."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    result: Rgb = VOID[(rows + columns) // STRIPE % 2]
    return result


def shrunk(image: Rgb, longest: int) -> Rgb:
    """Shrink an image so that its longer side is at most `longest`."""
    return fitted(image, shrunk_grid((image.shape[0], image.shape[1]), longest))


def shrunk_grid(grid: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the height and width of an image whose longer side is at most `longest`."""
    factor = min(1.0, longest / max(grid))
    return max(1, round(grid[0] * factor)), max(1, round(grid[1] * factor))


def middle(grid: tuple[int, ...], share: float) -> tuple[slice, slice]:
    """Return the slices of the centre of an array of the shape `grid`, with this fraction of each side."""
    height, width = grid[:2]
    tall, across = max(1, round(height * share)), max(1, round(width * share))
    top, left = (height - tall) // 2, (width - across) // 2
    return slice(top, top + tall), slice(left, left + across)


# Panels and sheets


def panel(title: str, tiles: Sequence[Tile], keys: Sequence[Key]) -> Rgb:
    """Compose tiles of equal size with a title and keys: side by side, or stacked if they are wide."""
    height, width = tiles[0].image.shape[:2]
    columns = 1 if width > WIDE * height else len(tiles)
    rows = math.ceil(len(tiles) / columns)
    inner = max(NARROWEST_PANEL, columns * (width + GUTTER) - GUTTER)
    top = MARGIN + TITLE
    lines = [line for key in keys if key.entries for line in _key_lines(key, inner)]
    total = top + rows * (LINE + height + GUTTER) + LINE * len(lines) + MARGIN
    image = Image.new("RGB", (inner + 2 * MARGIN, total), WHITE)
    draw = ImageDraw.Draw(image)
    _write(draw, MARGIN, MARGIN, title, inner, INK)
    for number, tile in enumerate(tiles):
        left = MARGIN + number % columns * (width + GUTTER)
        at = top + number // columns * (LINE + height + GUTTER)
        _write(draw, left, at, tile.caption, max(width, NARROWEST_PANEL if columns == 1 else 0), FAINT)
        image.paste(Image.fromarray(tile.image), (left, at + LINE))
    _draw_lines(draw, lines, top + rows * (LINE + height + GUTTER))
    return np.asarray(image)


def contact_sheet(title: str, cells: Sequence[Tile], keys: Sequence[Key], widest: int = 1800) -> Rgb:
    """Compose many small images into a grid, with the name below each."""
    height = max(cell.image.shape[0] for cell in cells) + LINE + GUTTER
    width = max(cell.image.shape[1] for cell in cells) + GUTTER
    # Roughly square, but not wider than a screen.
    columns = max(1, min(len(cells), (widest - 2 * MARGIN) // width, math.ceil(math.sqrt(len(cells) * height / width))))
    rows = math.ceil(len(cells) / columns)
    inner = max(NARROWEST_PANEL, columns * width)
    lines = [line for key in keys if key.entries for line in _key_lines(key, inner)]
    top = MARGIN + TITLE
    image = Image.new("RGB", (inner + 2 * MARGIN, top + rows * height + LINE * len(lines) + MARGIN), WHITE)
    draw = ImageDraw.Draw(image)
    _write(draw, MARGIN, MARGIN, title, inner, INK)
    for number, cell in enumerate(cells):
        left, at = MARGIN + number % columns * width, top + number // columns * height
        image.paste(Image.fromarray(cell.image), (left, at))
        _write(draw, left, at + cell.image.shape[0] + 1, cell.caption, width - GUTTER, FAINT)
    _draw_lines(draw, lines, top + rows * height)
    return np.asarray(image)


def beside(images: Sequence[Rgb]) -> Rgb:
    """Place images of equal size side by side, or stacked if they are wide."""
    height, width = images[0].shape[:2]
    axis = 0 if width > WIDE * height else 1
    gap = np.full((2, width, 3) if axis == 0 else (height, 2, 3), 255, np.uint8)
    parts = [part for image in images for part in (gap, image)]
    return np.concatenate(parts[1:], axis=axis)


_Entry = tuple[int, str, Color | None, bool]  # left, text, colour, whether there is a swatch


def _key_lines(key: Key, width: int) -> list[list[_Entry]]:
    """Wrap the entries of a key into lines of at most `width` pixels."""
    lines: list[list[_Entry]] = [[]]
    left = 0
    if key.heading:
        lines[0].append((0, key.heading, FAINT, False))
        left = int(_font().getlength(key.heading)) + GUTTER
    start = left
    for name, color in key.entries:
        text = _shortened(_drawable(_cut(name)), width - start - SWATCH - 5)
        length = SWATCH + 5 + int(_font().getlength(text)) + 14
        if left + length - 14 > width and left > start:
            lines.append([])
            left = start
        lines[-1].append((left, text, color, True))
        left += length
    return lines


def _draw_lines(draw: ImageDraw.ImageDraw, lines: Sequence[Sequence[_Entry]], top: int) -> None:
    for row, line in enumerate(lines):
        at = top + row * LINE
        for left, text, color, swatch in line:
            shift = MARGIN + left
            if swatch:
                _draw_swatch(draw, shift, at + 3, color)
                shift += SWATCH + 5
            draw.text((shift, at + 1), text, fill=INK if swatch else FAINT, font=_font())


def _draw_swatch(draw: ImageDraw.ImageDraw, left: int, top: int, color: Color | None) -> None:
    if color is None:
        draw._image.paste(Image.fromarray(stripes((SWATCH, SWATCH))), (left, top))
    draw.rectangle((left, top, left + SWATCH, top + SWATCH), fill=color, outline=FAINT)


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, width: int, color: Color) -> None:
    draw.text((left, top + 1), _shortened(_drawable(text), width), fill=color, font=_font())


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _shortened(text: str, width: int) -> str:
    """Shorten a text to `width` pixels by cutting its start, since names differ at their ends."""
    if _font().getlength(text) <= width:
        return text
    while len(text) > 1 and _font().getlength("…" + text) > width:
        text = text[1:]
    return "…" + text


@functools.lru_cache(maxsize=4096)
def _drawable(text: str) -> str:
    """Remove line breaks; characters missing from the font lose their accent or become `?`."""
    found = []
    for letter in " ".join(text.split()):
        plain = letter if _has_glyph(letter) else SPELT.get(letter) or unicodedata.normalize("NFKD", letter)[:1]
        found.append(plain if all(map(_has_glyph, plain)) else "?")
    return "".join(found)


@functools.lru_cache(maxsize=4096)
def _has_glyph(letter: str) -> bool:
    missing = _font().getmask("\uffff")
    return letter == " " or (letter.isprintable() and bytes(_font().getmask(letter)) != bytes(missing))


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers 0 to count - 1, evenly spaced."""
    return list(range(count)) if count <= most else [int(row) for row in nearest_rows(count, most)]
