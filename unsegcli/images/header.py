"""Image headers (size, bands, type) and the meaning of the axes of stored arrays.

No file is opened here: the reader of each format makes a `Header`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError
from unsegcli.images.georeference import Georeference
from unsegcli.params import Images

Pixels = NDArray[Any]

MAX_PIXELS = Images.max_pixels
SAMPLES_PER_PIXEL = 16  # an image of more samples than this times the limit on pixels is refused


@dataclass(frozen=True)
class Header:
    """Properties of an image known before decoding; height and width before EXIF orientation."""

    pages: int
    height: int
    width: int
    bands: int  # of the decoded image, alpha included
    dtype: str
    axes: str  # letters y x c p in the order of the stored array
    layout: str  # grey, rgb or bands; with "+alpha" if the file declares alpha
    orientation: int = 1  # EXIF, 1 to 8
    nodata: float | None = None
    left_out: int = 0  # pages that are skipped, as their size differs from that of the first
    place: Georeference = field(default_factory=Georeference)  # of the image as shown
    in_parts: bool = False  # whether parts of it can be decoded, so that its size does not matter

    def moved(self, height: int, width: int, place: Georeference) -> Header:
        """Return the header of a surface of such images."""
        return replace(self, height=height, width=width, place=place)

    @property
    def oriented(self) -> tuple[int, int]:
        """Height and width after applying the orientation."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def check_axes(axes: str) -> None:
    """Check that `--axes` has y and x once, and c and p at most once."""
    if axes == "auto":
        return
    if set(axes) - set("yxcp") or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        raise ConfigError(
            f"--axes {axes}: give the letters y (rows), x (columns), c (bands) and p (pages) in the order of the "
            "array's axes, such as yxc or cyx, each at most once and always y and x; or auto"
        )


def check_size(path: Path, header: Header, page: int, max_pixels: int) -> None:
    """Refuse a page that does not exist, an empty image, and an image over the size limit."""
    if not 0 <= page < header.pages:
        raise DataError(f"{path}: no page {page}: the file has {header.pages} pages, counted from 0")
    if header.height < 1 or header.width < 1 or header.bands < 1:
        raise DataError(f"{path}: the image is empty: {header.height} x {header.width} x {header.bands}")
    count = header.height * header.width
    if header.in_parts:
        return
    if count > max_pixels or count * header.bands > SAMPLES_PER_PIXEL * max_pixels:
        raise DataError(f"{path}: {_too_large(header, max_pixels)}")


def _too_large(header: Header, max_pixels: int) -> str:
    size = f"{header.height} x {header.width}"
    count, limit, what = header.height * header.width, max_pixels, "pixels"
    if count <= limit:
        size += f" x {header.bands} bands"
        count, limit, what = count * header.bands, SAMPLES_PER_PIXEL * limit, "samples"
    return (
        f"{size} = {millions(count)} million {what} is over the limit of {millions(limit)} million: "
        "raise --max-pixels to read it"
    )


def millions(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count >= 100_000_000 else f"{count / 1e6:,.6g}"


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "buif":
        raise DataError(f"{path}: holds values of type {dtype}, not integers or real numbers")


def full_range(pixels: Pixels) -> Pixels:
    """Convert booleans to 0 and 255; other types are returned as they are."""
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels


def given_letters(path: Path, shape: tuple[int, ...], axes: str) -> str:
    if len(axes) != len(shape):
        raise DataError(f"{path}: the array has {len(shape)} axes, shape {shape}, but --axes {axes} names {len(axes)}")
    return axes


def extent(shape: tuple[int, ...], letters: str, letter: str) -> int:
    """Return the product of the lengths of the axes with this letter; 1 if there is none."""
    return math.prod(length for length, name in zip(shape, letters, strict=True) if name == letter)


def page_selection(shape: tuple[int, ...], letters: str, page: int) -> tuple[int | slice, ...]:
    """Return the index of one page of an array: integers on the p axes, full slices on the others."""
    lengths = [length for length, name in zip(shape, letters, strict=True) if name == "p"]
    numbers = iter(np.unravel_index(page, lengths) if lengths else ())
    return tuple(int(next(numbers)) if name == "p" else slice(None) for name in letters)


def arranged(pixels: Pixels, letters: str) -> Pixels:
    """Transpose an array with the axes y, x and optionally c, in any order, to (height, width, bands)."""
    if "c" not in letters:
        pixels, letters = pixels[..., np.newaxis], letters + "c"
    return pixels.transpose([letters.index(letter) for letter in "yxc"])
