"""Encode label maps as image files, and areas as a table; and name the files of images.

Nothing here reads ground truth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import Box, nearest_rows
from unsegcli.dataflow.label_maps import ImageMap, StoredMap
from unsegcli.errors import ConfigError
from unsegcli.images.georeference import Georeference, written_tags
from unsegcli.images.tiff import NODATA_TAG

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may treat such text as a formula
SUFFIXES = {"png": ".png", "tiff": ".tif", "geotiff": ".tif", "npy": ".npy"}
TYPES = {
    "png": (np.uint8, np.uint16),
    "tiff": (np.uint8, np.uint16, np.uint32),
    "geotiff": (np.uint8, np.uint16, np.uint32),
    "npy": (np.uint8, np.uint16, np.uint32),
}
VOID_COLOR = (0, 0, 0)
MOST_COLORS = {"png": 256, "tiff": 65536}  # of a palette

Colors = NDArray[np.uint8]


def spelled(format_: str) -> str:
    """Return the name of a format as it stands in sentences."""
    return "GeoTIFF" if format_ == "geotiff" else format_.upper()


def exported_type(largest: int, format_: str) -> str:
    """Return the smallest type for numbers up to the largest one."""
    for dtype in TYPES[format_]:
        if largest <= np.iinfo(dtype).max:
            return np.dtype(dtype).name
    cure = "use --to tiff or npy" if format_ == "png" else f"the largest is {np.iinfo(np.uint32).max:,}"
    raise ConfigError(f"numbers up to {largest:,} do not fit into {spelled(format_)}: {cure}")


def encoded(
    values: NDArray[Any],
    format_: str,
    colors: Mapping[int, Sequence[int]] | None = None,
    place: Georeference | None = None,
    void: int | None = None,
) -> bytes:
    """Encode a label map (height, width) or an image (height, width, 3) as a file.

    Args:
        values: numbers, or colours.
        format_: png, tiff, geotiff or npy.
        colors: colour of each number, which the file shows it in; None = grey.
        place: place on a map, for TIFF and GeoTIFF.
        void: number that these declare to be no data.
    """
    if format_ == "geotiff":
        from unsegcli.views.geo_files import cog

        return cog(values, colors, place or Georeference(), void)
    stream = io.BytesIO()
    if format_ == "npy":
        np.save(stream, values, allow_pickle=False)
    elif format_ == "png":
        image = Image.fromarray(values)
        if colors is not None and values.dtype == np.uint8:
            image.putpalette(_table(colors, MOST_COLORS["png"]).ravel().tolist())
        image.save(stream, "PNG")
    else:
        declared = [] if void is None else [(NODATA_TAG, "s", 0, str(void), True)]
        _write_tiff(stream, values, colors, [*declared, *written_tags(place or Georeference())])
    return stream.getvalue()


def _write_tiff(
    stream: io.BytesIO, values: NDArray[Any], colors: Mapping[int, Sequence[int]] | None, tags: Sequence[Any]
) -> None:
    import tifffile

    shown: dict[str, Any] = {"photometric": "minisblack"}
    if colors is not None and values.dtype.itemsize <= 2:
        table = _table(colors, 2 ** (8 * values.dtype.itemsize)).astype(np.uint16) * 257  # 16 bits a colour
        shown = {"photometric": "palette", "colormap": table.T}
    tifffile.imwrite(stream, values, compression="zlib", predictor=False, metadata=None, extratags=tags, **shown)


def _table(colors: Mapping[int, Sequence[int]], length: int) -> Colors:
    table = np.full((length, 3), VOID_COLOR, np.uint8)
    for number, color in colors.items():
        table[number] = color
    return table


def areas(values: NDArray[np.int32], source: tuple[int, int], count: int) -> list[int]:
    """Count the source pixels of each category of a working map, and of void, without resizing it.

    Args:
        values: (height, width) categories, negative = void.
        source: height and width of the source image.
        count: number of categories; larger values count as void.
    """
    grid = values.shape[0], values.shape[1]
    return areas_of_parts([(Box(0, 0, *grid), values)], grid, source, count)


def areas_of_parts(
    parts: Iterable[tuple[Box, NDArray[np.int32]]], grid: tuple[int, int], source: tuple[int, int], count: int
) -> list[int]:
    """Count as `areas` does, from parts of a working map of size `grid` (height, width) that do not overlap."""
    down, across = (
        np.bincount(nearest_rows(given, wanted), minlength=given) for given, wanted in zip(grid, source, strict=True)
    )
    found = np.zeros(count + 1, np.int64)
    for box, values in parts:
        found += _areas(values, down[box.top : box.bottom], across[box.left : box.right], count)
    return [int(pixels) for pixels in found]


def _areas(
    values: NDArray[np.int32], down: NDArray[np.int64], across: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Count the source pixels of each category and of void, where rows and columns stand for so many each."""
    found = np.zeros(count + 1, np.int64)
    for times in np.unique(down[down > 0]):  # one iteration for each number of source rows per working row
        rows = values[down == times]
        known = np.where((rows < 0) | (rows >= count), count, rows)
        weights = np.broadcast_to(across, known.shape)
        if (across == 1).all():
            found += times * np.bincount(known.ravel(), minlength=count + 1)
        else:
            counted = np.bincount(known.ravel(), weights.ravel(), minlength=count + 1)
            found += times * counted.round().astype(np.int64)  # exact below 2 to the 53
    return found


class Number(str):
    """A number as text, which is no formula though it may start with a sign."""

    __slots__ = ()


def csv_bytes(rows: Sequence[Sequence[Any]]) -> bytes:
    """Format a table as CSV, without texts that a spreadsheet could treat as formulas."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    for row in rows:
        writer.writerow(
            [no_formula(cell) if isinstance(cell, str) and not isinstance(cell, Number) else cell for cell in row]
        )
    return stream.getvalue().encode("utf-8", "surrogateescape")


def no_formula(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet could treat it as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def file_name(item: ImageMap) -> str:
    """Return the name of an image with its page, if any, before the suffix: `stack.tif#2` gives `stack_2.tif`."""
    page = page_of(item)
    base = item.name.removesuffix(f"#{page}")
    if base == item.name:
        return item.name
    folder, slash, last = base.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return f"{folder}{slash}{stem}_{page}.{suffix}" if dot else f"{base}_{page}.page"


def page_of(item: ImageMap) -> int:
    """Return the page of the image in its file, from 0."""
    return item.source.page if isinstance(item, StoredMap) else item.page
