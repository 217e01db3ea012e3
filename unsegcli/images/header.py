"""What is known of an image before it is decoded, and what the axes of stored arrays mean.

Opens no file: the readers of each format fill this in and are held to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Images

Pixels = NDArray[Any]

MAX_PIXELS = Images.max_pixels
SAMPLES_PER_PIXEL = 16  # bands on average beyond which many bands count as an absurd size, too


@dataclass(frozen=True)
class Header:
    """What a file says of one of its images before anything is decoded; sizes before orientation."""

    pages: int
    height: int
    width: int
    bands: int  # of the decoded image, alpha included
    dtype: str
    axes: str  # of the stored array, letters of y x c p in its order
    layout: str  # grey, rgb or bands; with "+alpha" where the file itself declares alpha
    orientation: int = 1  # EXIF, 1 to 8
    nodata: float | None = None
    left_out: int = 0  # pages of another size than the first, which are not read

    @property
    def oriented(self) -> tuple[int, int]:
        """Height and width after the orientation is applied."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def check_axes(axes: str) -> None:
    """Refuse an `--axes` that does not name y and x once, and c and p at most once."""
    if axes == "auto":
        return
    if set(axes) - set("yxcp") or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes):
        raise ConfigError(
            f"--axes {axes}: give the letters y (rows), x (columns), c (bands) and p (pages), each at most "
            "once and y and x always, in the order of the array's axes, such as yxc or cyx; or auto"
        )


def check_size(path: Path, header: Header, page: int, max_pixels: int) -> None:
    """Refuse a page that is not there, an empty image, and one of an absurd size."""
    if not 0 <= page < header.pages:
        raise DataError(f"{path}: page {page} is asked for, but the file has {header.pages} (counted from 0)")
    if header.height < 1 or header.width < 1 or header.bands < 1:
        raise DataError(f"{path}: an empty image of {header.height} x {header.width} x {header.bands}")
    count = header.height * header.width
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
        "raise --max-pixels if you mean it"
    )


def millions(count: int) -> str:
    return f"{count / 1e6:,.0f}" if count >= 100_000_000 else f"{count / 1e6:,.6g}"


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "buif":
        raise DataError(f"{path}: holds values of type {dtype}, not whole or real numbers")


def full_range(pixels: Pixels) -> Pixels:
    """Truth values as 0 and 255."""
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels


def given_letters(path: Path, shape: tuple[int, ...], axes: str) -> str:
    if len(axes) != len(shape):
        raise DataError(f"{path}: an array of {len(shape)} axes, shape {shape}, but --axes {axes} names {len(axes)}")
    return axes


def extent(shape: tuple[int, ...], letters: str, letter: str) -> int:
    """Product of the lengths of the axes with this letter; 1 where there is none."""
    return math.prod(length for length, name in zip(shape, letters, strict=True) if name == letter)


def page_selection(shape: tuple[int, ...], letters: str, page: int) -> tuple[int | slice, ...]:
    """The index that leaves one page of an array: numbers on the axes p, everything on the others."""
    lengths = [length for length, name in zip(shape, letters, strict=True) if name == "p"]
    numbers = iter(np.unravel_index(page, lengths) if lengths else ())
    return tuple(int(next(numbers)) if name == "p" else slice(None) for name in letters)


def arranged(pixels: Pixels, letters: str) -> Pixels:
    """Bring an array with the axes y, x and perhaps c, in any order, to (height, width, bands)."""
    if "c" not in letters:
        pixels, letters = pixels[..., np.newaxis], letters + "c"
    return pixels.transpose([letters.index(letter) for letter in "yxc"])
